//! Notices at once when something fails that everything else relies on: a process that ends, a server that panics.

use tokio::sync::mpsc;

/// Gives the alarm.
#[derive(Clone)]
pub struct Lookout(mpsc::UnboundedSender<String>);

/// Hears it.
pub struct Alarms(mpsc::UnboundedReceiver<String>);

/// Both ends.
#[must_use]
pub fn new() -> (Lookout, Alarms) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Lookout(sender), Alarms(receiver))
}

impl Lookout {
    /// Something has failed, for this reason.
    pub fn alarm(&self, reason: String) {
        // While everything is being stopped nobody listens any more.
        let _ = self.0.send(reason);
    }
}

impl Alarms {
    /// The next failure; without one, for ever.
    pub async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}
