//! The real connection code over an in-memory pipe against a venue whose every move a test makes, with paused time: an
//! hour of silence passes in milliseconds. Names of tests begin with the row of the fault list that they hold.

mod cuts;
mod limits;
mod planned;
mod queue;
mod retries;
mod simex;
mod sockets;
mod timers;
mod tls;
mod venue;
