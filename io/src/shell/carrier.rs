//! All shells of a process behind the driver's one [`Carrier`].

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubefox_core::machine::Lost;

use crate::driver::Carrier;
use crate::exchange::{ListenerRequest, Request, Response};
use crate::shell::bootstrap_client::BootstrapClient;
use crate::shell::files::Files;
use crate::shell::http::Http;
use crate::shell::listener::Listener;
use crate::shell::nats::{Nats, NotDone};

/// The shells that a role has.
#[derive(Default)]
pub struct Shells {
    /// To Vault.
    pub vault: Option<Http>,
    /// To the Kubernetes API.
    pub kubernetes: Option<Http>,
    /// To local directories.
    pub files: Option<Files>,
    /// To the controller.
    pub bootstrap: Option<BootstrapClient>,
    /// The own server.
    pub listener: Option<Arc<Listener>>,
    /// To NATS.
    pub nats: Option<Nats>,
}

impl Carrier for Shells {
    fn carry(&self, request: Request, within: Duration) -> BoxFuture<'static, Result<Response, Lost>> {
        self.route(request, within).unwrap_or_else(|| {
            tracing::error!("NoShellForThisRequest");
            async { Err(Lost::Connection) }.boxed()
        })
    }
}

impl Shells {
    /// `None` if the role has no such shell: it was put together wrongly.
    fn route(
        &self,
        request: Request,
        within: Duration,
    ) -> Option<BoxFuture<'static, Result<Response, Lost>>> {
        Some(match request {
            Request::Vault(request) => over_http(self.vault.as_ref()?, request),
            Request::Kubernetes(request) => over_http(self.kubernetes.as_ref()?, request),
            Request::Disk(request) => {
                self.files.as_ref()?.carry(request).map(|response| Ok(Response::Disk(response))).boxed()
            }
            Request::Bootstrap { ca, message } => {
                let answer = self.bootstrap.as_ref()?.carry(&ca, message, within);
                answer.map(|answer| answer.map(Response::Bootstrap)).boxed()
            }
            Request::Listener(ListenerRequest::Present(presentation)) => {
                let address = self.listener.as_ref()?.carry(presentation);
                address.map(|address| address.map(Response::Listening)).boxed()
            }
            Request::Listener(ListenerRequest::Probe) => {
                let shown = self.listener.as_ref()?.carry_probe();
                shown.map(|shown| shown.map(Response::Shown)).boxed()
            }
            Request::Nats(request) => {
                let done = self.nats.as_ref()?.carry(request);
                done.map(|done| match done {
                    Ok(()) => Ok(Response::Nats(Ok(()))),
                    Err(NotDone::Refused(refusal)) => Ok(Response::Nats(Err(refusal))),
                    Err(NotDone::Lost(lost)) => Err(lost),
                })
                .boxed()
            }
        })
    }
}

fn over_http(http: &Http, request: http::Request<Vec<u8>>) -> BoxFuture<'static, Result<Response, Lost>> {
    http.carry(request).map(|response| response.map(Response::Http)).boxed()
}
