//! The standard health service of gRPC, `grpc.health.v1.Health`: says that it serves exactly while the role is ready, by
//! the snapshot that `/readyz` reads. A role that has finished serves nobody any more.
//!
//! Source: <https://grpc.io/docs/guides/health-checking/>.
//!
//! The kubelet's own gRPC probe speaks no TLS and cannot ask here; this is for load balancers and for clients that ask
//! before they ask for more.

use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use kubefox_core::machine::Standing;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::shell::status::Snapshot;

/// What a server asks its role for when somebody asks for its health.
pub(super) struct Readiness {
    /// The one service beside this one. The empty name stands for the server as a whole.
    pub(super) service: &'static str,
    /// What the role tells about itself.
    pub(super) snapshots: watch::Receiver<Snapshot>,
}

impl Readiness {
    fn knows(&self, request: &Request<HealthCheckRequest>) -> bool {
        let service = &request.get_ref().service;
        service.is_empty() || service == self.service
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request) {
            return Err(Status::not_found("There is no such service here."));
        }
        Ok(Response::new(health(*self.snapshots.borrow())))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !self.knows(&request) {
            // The protocol demands an answer and no end before the role's: the service may be added one day.
            let unknown = stream::once(future::ready(Ok(told(ServingStatus::ServiceUnknown))));
            let end = WatchStream::new(self.snapshots.clone()).filter_map(|_| future::ready(None));
            return Ok(Response::new(unknown.chain(end).boxed()));
        }
        let mut last = None;
        // Steps are many, changes are few.
        let changes = WatchStream::new(self.snapshots.clone()).map(health).filter(move |health| {
            let is_news = last.replace(*health) != Some(*health);
            future::ready(is_news)
        });
        Ok(Response::new(changes.map(Ok).boxed()))
    }
}

fn health(snapshot: Snapshot) -> HealthCheckResponse {
    told(match snapshot.standing {
        Standing::Ready => ServingStatus::Serving,
        Standing::Starting | Standing::Finished | Standing::Stopped(_) => ServingStatus::NotServing,
    })
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use kubefox_core::fatal::Fatal;
    use tonic::Code;

    use super::*;

    const STANDINGS: [(Standing, ServingStatus); 7] = [
        (Standing::Starting, ServingStatus::NotServing),
        (Standing::Ready, ServingStatus::Serving),
        (Standing::Starting, ServingStatus::NotServing),
        (Standing::Ready, ServingStatus::Serving),
        (Standing::Finished, ServingStatus::NotServing),
        (Standing::Ready, ServingStatus::Serving),
        (Standing::Stopped(Fatal::StorageLost), ServingStatus::NotServing),
    ];

    #[tokio::test]
    async fn it_serves_exactly_while_the_role_is_ready() {
        let (sender, snapshots) = watch::channel(Snapshot::before_start("controller"));
        let readiness = Readiness { service: "kubefox", snapshots };
        let mut watched = readiness.watch(asked("kubefox")).await.expect("it is known").into_inner();

        for (standing, status) in STANDINGS {
            // A step that changes nothing of it is no news.
            for steps in 0..2 {
                sender.send_replace(Snapshot { standing, steps, ..Snapshot::before_start("controller") });
            }
            let expected = told(status);
            for service in ["", "kubefox"] {
                let checked = readiness.check(asked(service)).await.expect("it is known").into_inner();
                assert_eq!(checked, expected, "{standing:?}");
            }
            assert_eq!(
                watched.next().await.expect("it goes on").expect("a status"),
                expected,
                "{standing:?}"
            );
        }
        drop(sender);
        assert!(watched.next().await.is_none(), "the role has ended");
    }

    #[tokio::test]
    async fn of_another_service_it_knows_nothing() {
        let (sender, snapshots) = watch::channel(Snapshot::before_start("controller"));
        let readiness = Readiness { service: "kubefox", snapshots };

        let checked = readiness.check(asked("other")).await.map(|_| ()).map_err(|status| status.code());
        let mut watched = readiness.watch(asked("other")).await.expect("a stream").into_inner();

        assert_eq!(checked, Err(Code::NotFound));
        let first = watched.next().await.expect("it goes on").expect("a status");
        assert_eq!(first, told(ServingStatus::ServiceUnknown));
        assert!(watched.next().now_or_never().is_none(), "it stays open");
        drop((sender, readiness));
        assert!(watched.next().await.is_none(), "the role has ended");
    }

    fn asked(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }
}
