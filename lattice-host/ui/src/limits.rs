//! How much the page takes from its host, and how long it waits.

use std::time::Duration;

/// Limits of the page's service. The defaults are for a few people at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UiLimits {
    /// Most connections at once, for [`Ui::serve`](crate::Ui::serve). More wait until one ends. 128
    /// by default: each open page takes up to six.
    pub connections: u32,
    /// Most streams of changes at once, one for each open page. 16 by default.
    pub streams: u32,
    /// Most bytes of a request's body. 1 MiB by default, which is a large manifest.
    pub body: u32,
    /// How long the body of a request may take to arrive, and, for [`Ui::serve`](crate::Ui::serve),
    /// its head. 10 s by default.
    pub arrival: Duration,
    /// How long it may take until a response begins. 60 s by default.
    pub response: Duration,
    /// How long a client may take nothing of a stream until this ends, and, for
    /// [`Ui::serve`](crate::Ui::serve), of any response until it is disconnected. 30 s by default.
    pub stall: Duration,
    /// The time between two signs of life on a stream without changes. 15 s by default: proxies
    /// close connections that are silent for a minute or less.
    pub keep_alive: Duration,
}

impl Default for UiLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            streams: 16,
            body: 1024 * 1024,
            arrival: Duration::from_secs(10),
            response: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
        }
    }
}

macro_rules! setters {
    ($($(#[$about:meta])+ $name:ident: $type:ty,)+) => {
        impl UiLimits {
            $($(#[$about])+
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            })+
        }
    };
}

setters! {
    /// Sets the most connections at once. Zero counts as one.
    connections: u32,
    /// Sets the most streams at once. Zero counts as one.
    streams: u32,
    /// Sets the most bytes of a request's body.
    body: u32,
    /// Sets how long the head and the body of a request may each take to arrive.
    arrival: Duration,
    /// Sets how long it may take until a response begins.
    response: Duration,
    /// Sets how long a client may take nothing of what is sent to it.
    stall: Duration,
    /// Sets the time between two signs of life on a stream without changes.
    keep_alive: Duration,
}
