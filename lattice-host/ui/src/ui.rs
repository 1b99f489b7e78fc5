//! What is served, and how it is chosen.

use crate::{
    actions,
    error::UiError,
    guard::{Guard, Rules},
    images::Images,
    limits::UiLimits,
    server::{self, UiServer},
    service::UiService,
    state::{Parts, State},
    token::Token,
};
use lattice_core::Lattice;
use std::{collections::BTreeSet, fmt, net::SocketAddr, sync::Arc};

/// The page of one lattice, before it is served: by [`serve`](Self::serve) at an address of its
/// own, or by [`service`](Self::service) in an existing application.
///
/// Whoever has the token may do everything that an operator's key may do, unless the page is
/// [`read_only`](Self::read_only).
#[derive(Clone)]
#[must_use = "nothing is served until `serve` or `service` is called"]
pub struct Ui {
    lattice: Lattice,
    is_read_only: bool,
    is_for_all: bool,
    token: Option<String>,
    host_names: Vec<String>,
    limits: UiLimits,
    images: Option<Arc<dyn Images>>,
}

impl Ui {
    /// Creates the page of a lattice. It looks and acts through this handle, as an operator.
    pub fn new(lattice: &Lattice) -> Self {
        Self {
            lattice: lattice.clone(),
            is_read_only: false,
            is_for_all: false,
            token: None,
            host_names: Vec::new(),
            limits: UiLimits::default(),
            images: None,
        }
    }

    /// Refuses every request that changes something. The page can be looked at only.
    pub fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Sets the token with which the page is opened: 16 to 256 letters, digits, `-`, `_`, `.` and
    /// `~`. By default a random one is made, which is another one at each start.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Adds a name under which browsers ask for the page, such as `lattice.example`, without a
    /// port. `localhost` and addresses of machines need not be named. Requests for any other name
    /// are refused, because a foreign page could let its name lead here.
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.host_names.push(name.into());
        self
    }

    /// Lets [`serve`](Self::serve) listen at addresses that other machines reach. By default it
    /// refuses them. The page speaks no TLS, so put something in front of it that does: whoever
    /// reads the traffic has the token.
    pub fn any_address(mut self) -> Self {
        self.is_for_all = true;
        self
    }

    /// Sets how much the service takes from its host, and how long it waits.
    pub fn limits(mut self, limits: UiLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what resolves the images of manifests that are planned and applied on the page.
    pub fn images(mut self, images: Arc<dyn Images>) -> Self {
        self.images = Some(images);
        self
    }

    /// Returns the page as a service, to mount in an existing application. The application's own
    /// limits on connections apply: [the front page](crate#in-an-existing-application) says which
    /// it needs. The service ends with [`UiService::stop`].
    ///
    /// # Errors
    /// [`UiError`], if the token or a host name isn't usable.
    pub fn service(self) -> Result<UiService, UiError> {
        let token = match &self.token {
            Some(text) => Token::chosen(text)?,
            None => Token::random()?,
        };
        let host_names: Result<BTreeSet<String>, UiError> =
            self.host_names.iter().map(|name| host_name(name)).collect();
        let guard = Guard::new(Rules {
            token: token.clone(),
            session: Token::random()?,
            host_names: host_names?,
            is_read_only: self.is_read_only,
            reads: actions::READS,
            limits: self.limits,
        });
        let state = State::new(Parts {
            lattice: self.lattice,
            is_read_only: self.is_read_only,
            limits: self.limits,
            images: self.images,
        });
        Ok(UiService::new(state, guard, token))
    }

    /// Serves the page at an address of this machine, such as `127.0.0.1:9119`; with port 0 at one
    /// that is free. It is served until the returned value is dropped or
    /// [shut down](UiServer::shutdown).
    ///
    /// # Errors
    /// [`UiError`]: among others if other machines reach the address and
    /// [`any_address`](Self::any_address) was not called.
    pub async fn serve(self, address: SocketAddr) -> Result<UiServer, UiError> {
        if !address.ip().to_canonical().is_loopback() && !self.is_for_all {
            return Err(UiError::NotLoopback { address });
        }
        let limits = self.limits;
        let service = self.service()?;
        server::start(address, service, &limits).await
    }
}

fn host_name(name: &str) -> Result<String, UiError> {
    let lower = name.to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if lower.is_empty() || lower.len() > 253 || !lower.bytes().all(is_plain) {
        let name = name.to_owned();
        return Err(UiError::BadHostName { name });
    }
    Ok(lower)
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui")
            .field("lattice", self.lattice.name())
            .field("is_read_only", &self.is_read_only)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
