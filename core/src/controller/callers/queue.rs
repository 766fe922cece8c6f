//! Who is served next: whoever cannot work yet comes before whoever renews, and among those the first to come.
//!
//! Whether a bootstrap is a pod's first is what the controller remembers of whom it has served; after its own restart
//! everybody's is. A nonce always counts as first: a connection waits for it, and NATS gives it six seconds.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bootstrap::Ask;
use crate::caller::Caller;
use crate::kubernetes::Pod;
use crate::machine::Ticket;
use crate::names::Uid;
use crate::time::Mono;

/// Pods that are remembered as served. More than a cluster's pods that renew within an hour; whoever is forgotten counts
/// as new.
const SERVED_MAX: usize = 4_096;

/// A caller whose token is genuine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Applicant {
    pub(super) by: Mono,
    pub(super) ask: Ask,
    pub(super) caller: Caller,
}

/// Those who wait, by ticket: tickets are given out in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Queue {
    first: BTreeMap<Ticket, Applicant>,
    renewals: BTreeMap<Ticket, Applicant>,
    /// Pods that were given their documents, and which of these it was the last time.
    served: BTreeMap<Uid, u64>,
    servings: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.renewals.len()
    }

    pub(super) fn push(&mut self, ticket: Ticket, applicant: Applicant) {
        let renews = match applicant.ask {
            Ask::Nats(_) | Ask::Component(_) => self.served.contains_key(&applicant.caller.pod.uid),
            Ask::SignNonce { .. } => false,
        };
        let line = if renews { &mut self.renewals } else { &mut self.first };
        line.insert(ticket, applicant);
    }

    /// The next one who may.
    pub(super) fn pop(&mut self, may: impl Fn(&Applicant) -> bool) -> Option<(Ticket, Applicant)> {
        let next = |line: &BTreeMap<Ticket, Applicant>| {
            line.iter().find(|(_, applicant)| may(applicant)).map(|(ticket, _)| *ticket)
        };
        let ticket = next(&self.first).or_else(|| next(&self.renewals))?;
        self.remove(ticket).map(|applicant| (ticket, applicant))
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Applicant> {
        self.first.remove(&ticket).or_else(|| self.renewals.remove(&ticket))
    }

    /// Takes all of those out.
    pub(super) fn take(&mut self, which: impl Fn(&Applicant) -> bool) -> Vec<(Ticket, Applicant)> {
        let mut taken = Vec::new();
        for line in [&mut self.first, &mut self.renewals] {
            taken.extend(line.extract_if(.., |_, applicant| which(applicant)));
        }
        taken
    }

    pub(super) fn waiting_of(&self, pod: &Pod) -> usize {
        let all = self.first.values().chain(self.renewals.values());
        all.filter(|applicant| applicant.caller.pod.uid == pod.uid).count()
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = Mono> {
        self.first.values().chain(self.renewals.values()).map(|applicant| applicant.by)
    }

    /// That caller has got what it asked for.
    pub(super) fn served(&mut self, ask: &Ask, caller: &Caller) {
        match ask {
            Ask::Nats(_) | Ask::Component(_) => {}
            Ask::SignNonce { .. } => return,
        }
        self.servings += 1;
        self.served.insert(caller.pod.uid.clone(), self.servings);
        if self.served.len() > SERVED_MAX {
            let oldest = self.served.iter().min_by_key(|(_, serving)| **serving);
            let oldest = oldest.map(|(uid, _)| uid.clone()).expect("there are more than none");
            self.served.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        self.first.contains_key(&ticket) || self.renewals.contains_key(&ticket)
    }
}
