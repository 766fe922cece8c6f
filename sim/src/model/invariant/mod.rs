//! What must hold, whatever happened: [`always`] in every state, [`at_rest`] where a world came to rest.

pub mod always;
pub mod at_rest;
