//! Every text the platform authors, as pure functions: data in, text out, the same text for the same data.
//!
//! Nothing here decides *when* a document is written; that is the machines' part. Whatever is interpolated is a
//! parsed type or is quoted, so that no name can say more than a name.

pub mod certificate;
pub mod jwt;
pub mod nats_conf;
pub mod nkey;
pub mod policy;
pub mod setting;
pub mod subject;
