//! Standing still: at one moment, on either side of a call, and then for ever.

use super::*;

#[tokio::test]
async fn an_answer_that_is_to_stay_unheard_has_its_effect_and_is_no_step() {
    let halt = Halt { state: "Resting", side: Side::Unheard };
    let mut world = World::start_with(Some(halt));
    // What is answered on behalf of a question is none of the state's business.
    let orders = [Order::Rest, call_for(FIRST, Call::Mint), call(1_000, Call::Fetch { into: OWN })];
    let asker = world.ask(orders.clone());
    assert_eq!(world.step().await, asked(orders));
    assert_eq!(world.step().await, done(0, Outcome::Ok("minted".to_owned())));

    world.carried().await.answer("token");

    assert_eq!(world.moment().await, Moment::Halted(halt));
    stands_still(world).await;
    assert_eq!(asker.await.expect("no panic"), Err(Unanswered::Stopping));
}

#[tokio::test]
async fn a_call_that_is_to_stay_unsent_does_not_leave() {
    let halt = Halt { state: "Resting", side: Side::Unsent };
    let mut world = World::start_with(Some(halt));
    world.tell([call(1_000, Call::Fetch { into: OWN })]).await;
    let mut before = world.carried().await;

    world.tell([Order::Rest, call(1_000, Call::Fetch { into: OWN })]).await;

    assert_eq!(world.moment().await, Moment::Halted(halt));
    soon(before.reply.closed()).await;
    stands_still(world).await;
}

#[tokio::test]
async fn a_time_out_that_is_to_stay_unheard_is_no_step() {
    let halt = Halt { state: "Resting", side: Side::Unheard };
    let mut world = World::start_with(Some(halt));
    world.tell([Order::Rest, Order::Timer(Mono(500))]).await;

    world.pass_to(500);

    assert_eq!(world.moment().await, Moment::Halted(halt));
    stands_still(world).await;
}

#[tokio::test]
async fn a_state_that_is_never_met_is_told_at_the_end() {
    let halt = Halt { state: "Resting", side: Side::Unsent };
    let mut world = World::start_with(Some(halt));

    world.tell([Order::End(Standing::Finished)]).await;

    assert_eq!(world.moment().await, Moment::Missed(halt));
    assert_eq!(world.driver.await.expect("no panic"), Standing::Finished);
}

/// Nothing is a step any more, and no request leaves; told to end, it ends without the machine.
async fn stands_still(mut world: World) {
    world.pass_to(999);
    world.signals.send(vec![Order::End(Standing::Finished)]).await.expect("the driver listens");
    assert_eq!(soon(world.driver).await.expect("no panic"), Standing::Starting);
    assert_eq!(world.steps.try_recv().ok(), None);
    assert!(world.carried.try_recv().is_err(), "a request left");
}
