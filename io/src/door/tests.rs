//! Every way in which a question ends, from both sides of the door.

use futures::FutureExt;
use kubefox_core::broker::{Ask, Broker};

use super::*;

type Way = Door<Broker, &'static str>;
type End = mpsc::Receiver<Inbound<Broker, &'static str>>;

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
    assert!(question.remaining() > LONG / 2 && question.remaining() <= LONG);
    question.reply.send("answer").expect("the asker listens");

    assert_eq!(asking.await, Ok("answer"));
    assert!(end.try_recv().is_err(), "an answered question is not withdrawn");
}

#[tokio::test]
async fn every_question_has_a_ticket_of_its_own() {
    let (door, mut end) = Way::new();
    for door in [&door, &door.clone(), &door] {
        assert_eq!(door.ask(Ask::Subscribe, Vec::new(), LONG).now_or_never(), None);
    }

    let mut tickets = Vec::new();
    for _ in 0..3 {
        let ticket = asked(&mut end).ticket;
        assert_eq!(withdrawn(&mut end), ticket);
        tickets.push(ticket);
    }

    assert_eq!(tickets, [Ticket(1), Ticket(2), Ticket(3)]);
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
    let question = asked(&mut end);
    assert_eq!(question.remaining(), Duration::ZERO);
    assert!(question.reply.is_closed());
    assert_eq!(withdrawn(&mut end), question.ticket);
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
    match end.try_recv() {
        Ok(Inbound::Asked(question)) => question,
        Ok(Inbound::Withdrawn(_)) | Err(_) => panic!("a question comes in"),
    }
}

fn withdrawn(end: &mut End) -> Ticket {
    match end.try_recv() {
        Ok(Inbound::Withdrawn(ticket)) => ticket,
        Ok(Inbound::Asked(_)) | Err(_) => panic!("a question is withdrawn"),
    }
}
