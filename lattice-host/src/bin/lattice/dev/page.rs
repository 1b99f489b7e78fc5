//! The option for the page that shows the lattice in a browser. It has the form of that of
//! `lattice up`, which takes its place in a program that has the page.

use crate::failure::Failure;
use clap::Args;
use lattice_core::Lattice;
use lattice_host::artifact::Artifacts;
use std::{
    future::{Ready, ready},
    net::SocketAddr,
};

#[derive(Debug, Args)]
pub(super) struct PageOptions {
    /// Serves the page that shows the lattice at this address, such as `127.0.0.1:9119`
    #[arg(long, value_name = "ADDRESS")]
    ui: Option<SocketAddr>,
}

/// The page. A program without it never has one.
#[derive(Debug)]
pub(super) enum UiServer {}

impl PageOptions {
    /// Checks what doesn't need the lattice.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.ui {
            None => Ok(()),
            Some(address) => Err(Failure::Usage(format!(
                "--ui {address}: this `lattice` was built without the page; build it with the feature `ui`"
            ))),
        }
    }

    /// Serves the page, if an address was given.
    pub(super) fn serve(
        &self,
        _: &Lattice,
        _: &Artifacts,
    ) -> Ready<Result<Option<UiServer>, Failure>> {
        ready(self.check().map(|()| None))
    }
}

impl UiServer {
    /// Returns where to open it, with its token.
    pub(super) fn url(&self) -> &str {
        match *self {}
    }

    /// Tells the browsers that it ends.
    pub(super) fn shutdown(self) -> Ready<()> {
        match self {}
    }
}
