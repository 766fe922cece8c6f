//! The Kubernetes API: what is asked of it and what it answers, as data.
//!
//! Every request is authorized with `Own(ApiJwt)`, which a [`crate::volume::Call::ReadToken`] has filled before.
//! Object names are those of the design: Secret `kubefox-seal-key`, Secret `kubefox-trust`, ConfigMap
//! `kubefox-committed`, all in the controller's namespace.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::caller::Signer;
use crate::names::{Identity, KeyId, LifeId, Pem, PodName, ResourceVersion, Uid};
use crate::secret::Secret;

/// The Secret that holds the seal key.
pub const SEAL_KEY: &str = "kubefox-seal-key";
/// The Secret that holds the controller's certificate and its authority's.
pub const TRUST: &str = "kubefox-trust";
/// The ConfigMap that says: the envelope was durable.
pub const COMMITTED: &str = "kubefox-committed";
/// The annotation that carries the life id.
pub const LIFE_ANNOTATION: &str = "kubefox.io/life-id";
/// Keeps a deleted seal key readable until a person removes the finalizer.
pub const SEAL_KEY_FINALIZER: &str = "kubefox.io/seal-key";

/// One request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// `POST secrets`: the seal key, immutable, with a finalizer and without an owner. Create-only.
    CreateSealKey {
        /// The life it belongs to.
        life: LifeId,
        /// Holds the key.
        key: Secret,
    },
    /// `GET secrets/kubefox-seal-key`: what it says of itself, and the id of its key; the bytes are not kept.
    ReadSealKey,
    /// `POST configmaps`: `kubefox-committed`, immutable. Create-only.
    CreateCommitted {
        /// The life that is committed.
        life: LifeId,
    },
    /// `GET configmaps/kubefox-committed`.
    ReadCommitted,
    /// `GET secrets/kubefox-trust`.
    ReadTrust,
    /// `POST secrets`: `kubefox-trust`. Create-only.
    CreateTrust {
        /// The life it belongs to.
        life: LifeId,
        /// What is published.
        trust: Trust,
    },
    /// `PUT secrets/kubefox-trust`: compare-and-set on the resource version.
    UpdateTrust {
        /// The life it belongs to.
        life: LifeId,
        /// The version that must stand.
        version: ResourceVersion,
        /// What is published.
        trust: Trust,
    },
    /// `DELETE pods/<name>` with the uid as precondition: doing it twice is doing it once, and a pod of the same name
    /// made again is not touched.
    DeletePod {
        /// The pod.
        pod: Pod,
    },
    /// `GET /openid/v1/jwks`: the keys that sign service-account tokens. Every service account may read them.
    ReadSigners,
    /// `POST tokenreviews`. Stores nothing.
    ReviewToken {
        /// Holds the token to review.
        token: Secret,
        /// The audience it must be meant for.
        audience: String,
    },
}

/// What a [`Call`] brought back. `None` is a definite 404.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To every create.
    Created,
    /// To every update.
    Updated,
    /// To [`Call::ReadSealKey`].
    SealKey(Option<SealKeyObject>),
    /// To [`Call::ReadCommitted`].
    Committed(Option<Marked>),
    /// To [`Call::ReadTrust`].
    Trust(Option<PublishedTrust>),
    /// To [`Call::DeletePod`]: it is going, or it is gone and another may have its name.
    PodDeleted,
    /// To [`Call::ReadSigners`]: those whose algorithm is known, at most [`crate::caller::SIGNERS_MAX`].
    Signers(Vec<Signer>),
    /// To [`Call::ReviewToken`].
    Review(Review),
}

/// The Secret with the seal key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SealKeyObject {
    /// Its life id and whether it is being deleted.
    pub marked: Marked,
    /// The id of the key in it; `None` if that is not 32 bytes.
    pub key: Option<KeyId>,
}

/// An object that carries a life id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Marked {
    /// Its life id; `None` if the annotation is missing or malformed, so that it is nobody's.
    pub life: Option<LifeId>,
    /// Whether somebody has asked for its deletion.
    pub deleting: bool,
}

/// What callers need to trust the controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trust {
    /// `tls.crt`: the controller's certificate.
    pub certificate: Pem,
    /// `ca.crt`: the root that signed it.
    pub ca: Pem,
}

/// [`Trust`] as it stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublishedTrust {
    /// The life it belongs to; `None` as in [`Marked`].
    pub life: Option<LifeId>,
    /// For compare-and-set.
    pub version: ResourceVersion,
    /// What is published; `None` if it is not two PEM texts.
    pub trust: Option<Trust>,
}

/// What a TokenReview says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Review {
    /// The token is genuine, alive, meant for this audience and names a ServiceAccount.
    Authenticated {
        /// Whose token it is.
        identity: Identity,
        /// The pod it is bound to, if any.
        pod: Option<Pod>,
    },
    /// The API server does not accept it.
    Refused,
}

/// A pod: which one, of all that ever had its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its uid: a pod of the same name made again has another.
    pub uid: Uid,
}
