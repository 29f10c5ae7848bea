//! Upbit's errors. Public endpoints name them by a number, the others by a word.

use crate::server::http::Reply;
use crate::server::text::quoted;
use crate::sign::upbit::Refusal;

fn reply(status: u16, name: &str, message: &str) -> Reply {
    Reply::new(
        status,
        format!(r#"{{"error":{{"name":{name},"message":{}}}}}"#, quoted(message)),
    )
}

/// An error named by a word.
pub fn named(status: u16, name: &str, message: &str) -> Reply {
    reply(status, &quoted(name), message)
}

/// An error named by its status, as public endpoints do.
pub fn numbered(status: u16, message: &str) -> Reply {
    reply(status, &status.to_string(), message)
}

/// A public request without what it needs.
pub fn missing() -> Reply {
    numbered(400, "Missing request parameter error. Check the required parameters!")
}

/// A market that is not listed.
pub fn no_market() -> Reply {
    numbered(404, "Code not found")
}

/// A path that is not served.
pub fn no_route() -> Reply {
    named(404, "not_found", "no such endpoint at this exchange")
}

/// A token that was refused.
pub fn refused(refusal: Refusal) -> Reply {
    let message = match refusal {
        Refusal::Jwt => "Failed to verify the Jwt token.",
        Refusal::AccessKey => "The access key is not valid.",
        Refusal::Nonce => "The nonce was used before.",
        Refusal::Query => "The query payload is not valid.",
    };
    named(401, &refusal.to_string(), message)
}

/// A refusal that a fault asks for.
pub fn refusal(status: u16) -> Reply {
    match status {
        418 | 429 => named(status, "too_many_requests", "Too many API requests."),
        403 => named(403, "out_of_scope", "Access is forbidden."),
        _ => named(status, "server_error", "Something went wrong at the server."),
    }
}

/// The error object of a socket.
pub fn on_socket(name: &str, message: &str) -> String {
    format!(
        r#"{{"error":{{"name":{},"message":{}}}}}"#,
        quoted(name),
        quoted(message)
    )
}
