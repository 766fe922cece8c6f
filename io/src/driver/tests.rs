//! The laws of the contract, each against a machine that does as it is told, a carrier that answers when it is told,
//! and a clock that stands still.

mod halting;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt;
use kubefox_core::fatal::Fatal;
use kubefox_core::secret::{Asker, Own};
use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::*;
use crate::adapter::Unencodable;
use crate::door::{Door, Unanswered};

const OWN: Secret = Secret::Own(Own::ControllerToken);
const FIRST: Ticket = Ticket(1);
/// A slot of the first question.
const TOKEN: Secret = Secret::Of(FIRST, Asker::IssuedKey);
/// What the first question's asker showed.
const JWT: Secret = Secret::Of(FIRST, Asker::CallerJwt);
const LONG: Duration = Duration::from_secs(60);
/// What happens at all happens at once; a test that waits longer fails and does not hang.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_call_is_carried_once_and_done_once_with_what_came_back() {
    let mut world = World::start();
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;

    world.carried().await.answer("token");

    assert_eq!(world.step().await, done(0, Outcome::Ok("token".to_owned())));
    assert_eq!(world.shown(OWN).await, "token");
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn the_carrier_is_told_how_long_is_waited() {
    let mut world = World::start();
    world.pass_to(400);
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;

    assert_eq!(world.carried().await.within, Duration::from_millis(600));
}

#[tokio::test]
async fn what_the_carrier_lost_is_unknown() {
    let mut world = World::start();
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;

    world.carried().await.lose(Lost::Connection);

    assert_eq!(world.step().await, done(0, Outcome::Unknown(Lost::Connection)));
}

#[tokio::test]
async fn a_passed_deadline_is_unknown_and_ends_the_request() {
    let mut world = World::start();
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;
    let carried = world.carried().await;

    world.pass_to(999);
    world.nothing_more_happens().await;
    world.pass_to(1_000);

    assert_eq!(world.step().await, done(0, Outcome::Unknown(Lost::Deadline)));
    assert!(carried.reply.is_closed());
    assert_eq!(world.shown(OWN).await, "");
}

#[tokio::test]
async fn an_answer_that_is_looked_at_too_late_fills_nothing() {
    let mut world = World::start();
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;
    let carried = world.carried().await;

    // Both are there before the driver runs again.
    carried.answer("late");
    world.pass_to(1_001);

    assert_eq!(world.step().await, done(0, Outcome::Unknown(Lost::Deadline)));
    assert_eq!(world.shown(OWN).await, "");
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn what_there_is_no_time_for_is_not_begun() {
    let mut world = World::start();
    world.pass_to(1_000);

    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;

    assert_eq!(world.step().await, done(0, Outcome::Unknown(Lost::Deadline)));
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn what_does_not_leave_the_process_is_a_step_of_its_own() {
    let mut world = World::start();

    world.tell([call(1_000, Call::Mint), call(1_000, Call::Mistake)]).await;

    assert_eq!(world.step().await, done(0, Outcome::Ok("minted".to_owned())));
    assert_eq!(world.step().await, done(1, Outcome::Refused(Refusal::Invalid)));
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn a_question_is_answered_from_its_slots_and_then_they_are_wiped() {
    let mut world = World::start();
    let asker = world.ask([call_for(FIRST, Call::Fetch { into: TOKEN })]);
    assert_eq!(world.step().await, asked([call_for(FIRST, Call::Fetch { into: TOKEN })]));
    world.carried().await.answer("token");
    assert_eq!(world.step().await, done(0, Outcome::Ok("token".to_owned())));

    world.tell([Order::Answer(FIRST)]).await;

    assert_eq!(asker.await.expect("no panic"), Ok("jwt and token".to_owned()));
    assert_eq!((world.shown(JWT).await, world.shown(TOKEN).await), (String::new(), String::new()));
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn an_answer_aborts_what_is_still_done_on_behalf_of_its_question_and_nothing_else() {
    let mut world = World::start();
    let orders = [
        call_for(FIRST, Call::Fetch { into: TOKEN }),
        call_for(FIRST, Call::Mint),
        call(1_000, Call::Fetch { into: OWN }),
        Order::Answer(FIRST),
    ];
    let asker = world.ask(orders.clone());
    assert_eq!(world.step().await, asked(orders));
    assert_eq!(asker.await.expect("no panic"), Ok("jwt and ".to_owned()));

    let carried = world.carried().await;
    assert!(!carried.reply.is_closed(), "the first was aborted before it was carried");
    carried.answer("token");

    assert_eq!(world.step().await, done(2, Outcome::Ok("token".to_owned())));
    assert_eq!((world.shown(OWN).await, world.shown(TOKEN).await), ("token".to_owned(), String::new()));
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn a_withdrawn_question_is_closed_before_the_machine_hears_of_it() {
    let mut world = World::start();
    let asker = world.ask([call_for(FIRST, Call::Fetch { into: TOKEN })]);
    world.step().await;
    let mut carried = world.carried().await;

    asker.abort();

    assert_eq!(world.step().await, Cause::Event(Event::Withdrawn { ticket: FIRST }));
    soon(carried.reply.closed()).await;
    assert_eq!(world.shown(JWT).await, "");
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn an_asker_that_left_while_its_question_waited_troubles_nobody() {
    let mut world = World::start();

    // On this one thread the driver has not run yet when the asker has asked and is gone.
    let asked = world.door.ask(vec![Order::Answer(FIRST)], Vec::new(), LONG).now_or_never();

    assert_eq!(asked, None);
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn answering_twice_ends_the_process() {
    let mut world = World::start();
    let asker = world.ask([Order::Answer(FIRST)]);
    world.step().await;
    assert_eq!(asker.await.expect("no panic"), Ok("jwt and ".to_owned()));

    world.tell([Order::Answer(FIRST)]).await;

    assert!(world.driver.await.expect_err("a law is broken").is_panic());
}

#[tokio::test]
async fn a_call_on_behalf_of_a_closed_question_ends_the_process() {
    let mut world = World::start();

    world.tell([call_for(FIRST, Call::Mint)]).await;

    assert!(world.driver.await.expect_err("a law is broken").is_panic());
}

#[tokio::test]
async fn a_time_out_is_called_when_it_is_due_and_not_before() {
    let mut world = World::start();
    world.tell([Order::Timer(Mono(500))]).await;

    world.pass_to(499);
    world.nothing_more_happens().await;
    world.pass_to(500);

    assert_eq!(world.step().await, Cause::Timeout);
    world.nothing_more_happens().await;
}

#[tokio::test]
async fn the_end_of_the_machine_ends_everything_that_was_under_way() {
    for end in [Standing::Finished, Standing::Stopped(Fatal::GaveUp)] {
        let mut world = World::start();
        let asker = world.ask([call_for(FIRST, Call::Fetch { into: TOKEN })]);
        world.step().await;
        let mut carried = world.carried().await;

        world.tell([Order::End(end)]).await;

        assert_eq!(world.driver.await.expect("no panic"), end);
        assert_eq!(asker.await.expect("no panic"), Err(Unanswered::Stopping));
        soon(carried.reply.closed()).await;
    }
}

/// A driver at work, and everything around it in the test's hand.
struct World {
    driver: JoinHandle<Standing>,
    time: watch::Sender<u64>,
    steps: mpsc::UnboundedReceiver<Cause<Toy>>,
    moments: mpsc::UnboundedReceiver<Moment>,
    carried: mpsc::UnboundedReceiver<Carried>,
    signals: mpsc::Sender<Vec<Order>>,
    door: Door<Toy, String>,
}

impl World {
    fn start() -> Self {
        Self::start_with(None)
    }

    /// With a driver that is to stand still somewhere.
    fn start_with(halt: Option<Halt>) -> Self {
        let (time, _) = watch::channel(0);
        let (tap, steps) = mpsc::unbounded_channel();
        let (moment, moments) = mpsc::unbounded_channel();
        let (carrier, carried) = mpsc::unbounded_channel();
        let (signals, told) = mpsc::channel(8);
        let (door, questions) = Door::new();
        let parts = Parts {
            adapter: ToyAdapter,
            carrier: Arc::new(Script(carrier)),
            clock: Arc::new(Still(time.clone())),
            entropy: Box::new(NoEntropy),
            questions,
            signals: told,
            tap: Box::new(Steps { steps: tap, moments: moment }),
            halt,
        };
        let driver = tokio::spawn(drive((), Seed([0; 32]), parts));
        Self { driver, time, steps, moments, carried, signals, door }
    }

    /// Gives orders, and waits until the machine has taken them.
    async fn tell(&mut self, orders: impl Into<Vec<Order>>) {
        let orders = orders.into();
        self.signals.send(orders.clone()).await.expect("the driver listens");
        assert_eq!(self.step().await, Cause::Event(Event::Signal(orders)));
    }

    /// Asks a question that is orders itself.
    fn ask(&self, orders: impl Into<Vec<Order>>) -> JoinHandle<Result<String, Unanswered>> {
        let (door, orders) = (self.door.clone(), orders.into());
        let jwt = vec![(Asker::CallerJwt, Zeroizing::new(b"jwt".to_vec()))];
        tokio::spawn(async move { door.ask(orders, jwt, LONG).await })
    }

    fn pass_to(&self, mono_ms: u64) {
        self.time.send_replace(mono_ms);
    }

    /// The next step after the start.
    async fn step(&mut self) -> Cause<Toy> {
        loop {
            match soon(self.steps.recv()).await.expect("the driver runs") {
                Cause::Start => {}
                // How long exactly an asker listens is the door's matter.
                Cause::Event(Event::Asked { ticket, by: _, ask }) => {
                    return Cause::Event(Event::Asked { ticket, by: Mono(0), ask });
                }
                cause @ (Cause::Event(_) | Cause::Timeout) => return cause,
            }
        }
    }

    /// Where the driver stands still, or that it never did.
    async fn moment(&mut self) -> Moment {
        soon(self.moments.recv()).await.expect("the driver runs")
    }

    /// The next request that leaves.
    async fn carried(&mut self) -> Carried {
        soon(self.carried.recv()).await.expect("the driver runs")
    }

    /// What a slot holds, by way of a request that shows it.
    async fn shown(&mut self, slot: Secret) -> String {
        self.tell([call(u64::MAX, Call::Show(slot))]).await;
        let carried = self.carried().await;
        let Request::Vault(request) = &carried.request else { panic!("every request is one to Vault") };
        let shown = String::from_utf8(request.body().clone()).expect("text");
        carried.answer("");
        let ended = self.step().await;
        assert!(matches!(ended, Cause::Event(Event::Done { id: _, outcome: Outcome::Ok(_) })), "{ended:?}");
        shown
    }

    /// The next step is one that is caused here and now.
    async fn nothing_more_happens(&mut self) {
        // Whatever was going to happen has the thread before the signal is sent.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        self.tell([]).await;
    }
}

/// A request under way.
struct Carried {
    request: Request,
    within: Duration,
    reply: oneshot::Sender<Result<Response, Lost>>,
}

impl Carried {
    fn answer(self, text: &str) {
        let response = Response::Http(http::Response::new(text.as_bytes().to_vec()));
        assert!(self.reply.send(Ok(response)).is_ok(), "nobody waits for this answer");
    }

    fn lose(self, lost: Lost) {
        assert!(self.reply.send(Err(lost)).is_ok(), "nobody waits for this answer");
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, event).await.expect("it happens")
}

fn call(by_ms: u64, call: Call) -> Order {
    Order::Call { by: Mono(by_ms), behalf: None, call }
}

fn call_for(ticket: Ticket, call: Call) -> Order {
    Order::Call { by: Mono(1_000), behalf: Some(ticket), call }
}

fn done(id: u64, outcome: Outcome<String>) -> Cause<Toy> {
    Cause::Event(Event::Done { id: CallId(id), outcome })
}

fn asked(orders: impl Into<Vec<Order>>) -> Cause<Toy> {
    Cause::Event(Event::Asked { ticket: FIRST, by: Mono(0), ask: orders.into() })
}

/// What the machine is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Order {
    /// Be in the other state from now on.
    Rest,
    Call {
        by: Mono,
        behalf: Option<Ticket>,
        call: Call,
    },
    Answer(Ticket),
    Timer(Mono),
    End(Standing),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Call {
    /// Its answer fills a slot.
    Fetch { into: Secret },
    /// Its request holds what a slot holds.
    Show(Secret),
    /// It is answered without leaving the process.
    Mint,
    /// No request can be made of it.
    Mistake,
}

/// A machine that does as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Toy {
    timer: Option<Mono>,
    rests: bool,
    standing: Standing,
}

impl Machine for Toy {
    type Config = ();
    type Call = Call;
    type Reply = String;
    type Ask = Vec<Order>;
    type Answer = ();
    type Notice = ();
    type Signal = Vec<Order>;

    fn start((): (), _: Seed, _: Now, _: &mut Out<Self>) -> Self {
        Self { timer: None, rests: false, standing: Standing::Starting }
    }

    fn handle_event(&mut self, _: Now, event: Event<Self>, out: &mut Out<Self>) {
        let orders = match event {
            Event::Asked { ticket: _, by: _, ask: orders } | Event::Signal(orders) => orders,
            Event::Done { id: _, outcome: _ } | Event::Withdrawn { ticket: _ } => return,
        };
        for order in orders {
            match order {
                Order::Rest => self.rests = true,
                Order::Call { by, behalf: None, call } => drop(out.call(by, call)),
                Order::Call { by, behalf: Some(ticket), call } => drop(out.call_for(ticket, by, call)),
                Order::Answer(ticket) => out.answer(ticket, ()),
                Order::Timer(at) => self.timer = Some(at),
                Order::End(standing) => self.standing = standing,
            }
        }
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Out<Self>) {
        self.timer = None;
    }

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        self.timer.map(|at| (at, "it was told to"))
    }

    fn phase(&self) -> &'static str {
        if self.rests { "Resting" } else { "Obeying" }
    }

    fn phases() -> BTreeSet<&'static str> {
        BTreeSet::from(["Obeying", "Resting"])
    }

    fn waits_for(&self) -> &'static str {
        "an order"
    }

    fn standing(&self) -> Standing {
        self.standing
    }
}

struct ToyAdapter;

impl Adapter<Toy> for ToyAdapter {
    type Rendered = String;

    fn encode(
        &mut self,
        call: &Call,
        slots: &mut dyn Slots,
        _: &mut dyn Entropy,
    ) -> Result<Encoded<String>, Unencodable> {
        let body = match call {
            Call::Fetch { into: _ } => Vec::new(),
            Call::Show(slot) => slots.expose(*slot).unwrap_or_default().to_vec(),
            Call::Mint => return Ok(Encoded::Done(Outcome::Ok("minted".to_owned()))),
            Call::Mistake => return Err(Unencodable::Unbuildable("nobody knows how")),
        };
        Ok(Encoded::Request(Box::new(Request::Vault(http::Request::new(body)))))
    }

    fn decode(&mut self, call: &Call, response: Response, slots: &mut dyn Slots) -> Outcome<String> {
        let Response::Http(response) = response else { return Outcome::Unknown(Lost::Garbled) };
        let body = response.into_body();
        if let Call::Fetch { into } = call {
            slots.fill(*into, Zeroizing::new(body.clone()));
        }
        Outcome::Ok(String::from_utf8(body).expect("text"))
    }

    fn render(&mut self, ticket: Ticket, (): (), slots: &dyn Slots) -> String {
        let slot = |name| String::from_utf8_lossy(slots.expose(Secret::Of(ticket, name)).unwrap_or_default());
        format!("{} and {}", slot(Asker::CallerJwt), slot(Asker::IssuedKey))
    }
}

/// Hands every request to the test.
struct Script(mpsc::UnboundedSender<Carried>);

impl Carrier for Script {
    fn carry(&self, request: Request, within: Duration) -> BoxFuture<'static, Result<Response, Lost>> {
        let requests = self.0.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            requests.send(Carried { request, within, reply }).expect("the test listens");
            answer.await.expect("the test answers or waits")
        }
        .boxed()
    }
}

/// Stands still until the test moves it.
struct Still(watch::Sender<u64>);

impl Clock for Still {
    fn now(&self) -> Now {
        Now { mono: Mono(*self.0.borrow()), unix: Unix(0) }
    }

    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        async move {
            // The clock lives as long as its driver, and a sleep does not live longer.
            time.wait_for(|now| *now >= at.0).await.expect("the clock is there");
        }
        .boxed()
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) {
        panic!("nothing here is random");
    }
}

/// Hands the cause of every step to the test, and that the driver stands still or never did.
struct Steps {
    steps: mpsc::UnboundedSender<Cause<Toy>>,
    moments: mpsc::UnboundedSender<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Halted(Halt),
    Missed(Halt),
}

// A test that has seen enough listens no longer.
impl Tap<Toy> for Steps {
    fn step(&mut self, _: Now, cause: &Cause<Toy>, _: &[Effect<Toy>], _: &Toy) {
        let _ = self.steps.send(cause.clone());
    }

    fn halted(&mut self, halt: Halt) {
        let _ = self.moments.send(Moment::Halted(halt));
    }

    fn missed(&mut self, halt: Halt) {
        let _ = self.moments.send(Moment::Missed(halt));
    }
}
