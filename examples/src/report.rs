//! Errors that `main` returns, printed as text.

use std::{error::Error, fmt};

/// Any error. When `main` returns it, its message and its causes are printed. A boxed error would
/// be printed in its `Debug` form.
pub struct Report(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Report {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::NoServer;
    use std::io;

    #[test]
    fn an_error_is_printed_with_its_causes() {
        let report = Report::from(NoServer::Files(io::Error::other("disk full")));
        let text = "there is no room for a nats-server's files: disk full";
        assert_eq!(format!("{report:?}"), text);
    }
}
