//! Frames to and from other hosts.

pub(crate) mod flow_control;
pub(crate) mod in_flight;
pub(crate) mod peer;
pub(crate) mod reply_path;
pub(crate) mod reply_reader;
pub(crate) mod send_queue;
