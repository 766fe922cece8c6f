//! Every way in which a question ends, from both sides of the door.

use futures::FutureExt;
use kubefox_core::broker::{Ask, Broker};
use tokio::task::unconstrained;

use super::*;

type Way = Door<Broker, &'static str>;
type End = DoorEnd<Broker, &'static str>;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_question_brings_its_secrets_and_takes_its_answer() {
    let (door, mut end) = Way::new();
    let jwt = vec![(Asker::CallerJwt, Zeroizing::new(b"jwt".to_vec()))];
    let mut asking = Box::pin(door.ask(Ask::Subscribe, jwt.clone(), LONG));
    assert_eq!(asking.as_mut().now_or_never(), None);

    let question = asked(&mut end);
    assert_eq!((&question.ask, &question.secrets), (&Ask::Subscribe, &jwt));
    assert!(question.remaining() > LONG / 2 && question.remaining() <= LONG - ANSWER_MARGIN);
    question.reply.send("answer").expect("the asker listens");

    assert_eq!(asking.await, Ok("answer"));
    assert!(end.recv().now_or_never().is_none(), "an answered question is not withdrawn");
}

#[tokio::test]
async fn every_question_has_a_ticket_of_its_own() {
    let (door, mut end) = Way::new();
    let (cloned, mut asking) = (door.clone(), Vec::new());
    for door in [&door, &cloned, &door] {
        asking.push(Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG)));
        assert_eq!(asking.last_mut().expect("it was just pushed").as_mut().now_or_never(), None);
    }

    let tickets = [(); 3].map(|()| asked(&mut end).ticket);

    assert_eq!(tickets, [Ticket(1), Ticket(2), Ticket(3)]);
}

#[tokio::test]
async fn whoever_goes_away_is_heard_before_all_who_wait() {
    let (door, mut end) = Way::new();
    let mut first = Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG));
    assert_eq!(first.as_mut().now_or_never(), None);
    let open = asked(&mut end);
    let mut waiting: Vec<_> =
        (0..QUESTIONS_WAITING_MAX).map(|_| Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG))).collect();
    for one in &mut waiting {
        assert_eq!(one.as_mut().now_or_never(), None);
    }

    drop(first);
    waiting.clear();

    assert_eq!(withdrawn(&mut end), open.ticket);
    for ticket in 2..=QUESTIONS_WAITING_MAX as u64 + 1 {
        assert_eq!(withdrawn(&mut end), Ticket(ticket));
    }
    assert!(asked(&mut end).reply.is_closed(), "nobody is troubled with a question that was withdrawn");
}

#[tokio::test]
async fn what_is_said_when_the_time_is_over_is_still_heard() {
    let (door, mut end) = Way::new();
    let mut asking = Box::pin(door.ask(Ask::Subscribe, Vec::new(), 4 * ANSWER_MARGIN));
    assert_eq!(asking.as_mut().now_or_never(), None);
    let question = asked(&mut end);
    tokio::time::sleep_until(question.until).await;

    question.reply.send("busy").expect("the asker still listens");

    assert_eq!(asking.await, Ok("busy"));
}

#[tokio::test]
async fn beyond_the_limit_the_role_is_busy_at_once() {
    let (door, _end) = Way::new();
    let mut asking: Vec<_> =
        (0..QUESTIONS_WAITING_MAX).map(|_| Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG))).collect();
    for one in &mut asking {
        assert_eq!(one.as_mut().now_or_never(), None);
    }

    let one_too_many = door.ask(Ask::Subscribe, Vec::new(), LONG).now_or_never();

    assert_eq!(one_too_many, Some(Err(Unanswered::Busy)));
}

#[tokio::test]
async fn an_asker_whose_time_is_up_withdraws_its_question() {
    let (door, mut end) = Way::new();

    let late = door.ask(Ask::Subscribe, Vec::new(), SHORT).await;

    assert_eq!(late, Err(Unanswered::Late));
    assert_eq!(withdrawn(&mut end), Ticket(1));
    let question = asked(&mut end);
    assert_eq!((question.ticket, question.remaining()), (Ticket(1), Duration::ZERO));
    assert!(question.reply.is_closed());
}

#[tokio::test]
async fn an_asker_that_goes_away_withdraws_its_question() {
    let (door, mut end) = Way::new();
    let mut asking = Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG));
    assert_eq!(asking.as_mut().now_or_never(), None);
    let question = asked(&mut end);

    drop(asking);

    assert_eq!(withdrawn(&mut end), question.ticket);
    assert!(question.reply.is_closed());
}

#[tokio::test]
async fn a_role_that_ends_leaves_nobody_waiting() {
    let (door, end) = Way::new();
    let mut asking = Box::pin(door.ask(Ask::Subscribe, Vec::new(), LONG));
    assert_eq!(asking.as_mut().now_or_never(), None);

    drop(end);

    assert_eq!(asking.await, Err(Unanswered::Stopping));
    assert_eq!(door.ask(Ask::Subscribe, Vec::new(), LONG).await, Err(Unanswered::Stopping));
}

fn asked(end: &mut End) -> Question<Broker, &'static str> {
    match unconstrained(end.recv()).now_or_never() {
        Some(Some(Inbound::Asked(question))) => question,
        Some(Some(Inbound::Withdrawn(_)) | None) | None => panic!("a question comes in"),
    }
}

fn withdrawn(end: &mut End) -> Ticket {
    match unconstrained(end.recv()).now_or_never() {
        Some(Some(Inbound::Withdrawn(ticket))) => ticket,
        Some(Some(Inbound::Asked(_)) | None) | None => panic!("a question is withdrawn"),
    }
}
