//! Metrics: what a node has counted, as one reading.
//!
//! The parts of a node count by themselves, and [`Node::metrics`](crate::node::Node::metrics) reads
//! all of it at one moment as [`Metrics`]. A host adds what it knows beside its node. Exporters
//! need nothing else: [`Metrics::to_text`] is the text that Prometheus reads, and the crate
//! `lattice-mesh-otel` sends the same reading by OTLP.
//!
//! Every metric is one of [`INSTRUMENTS`], which have names and units by the conventions of
//! OpenTelemetry. `docs/metrics.md` in the repository has them in a table.
//!
//! # How many series there are
//!
//! A metric has at most [`MOST_SERIES`] series. What more there would be is one series together,
//! with the attribute `otel.metric.overflow` in place of all others. Methods that don't exist are
//! one series, `_OTHER`.
//!
//! # What it costs
//!
//! Most values are there anyway: queues, budgets and tables are read when a reading is made.
//! Messages of the bus and operations of the store are counted always. Only the durations of calls
//! by method cost something for each call, about a tenth of a microsecond, and so they are off
//! until a reading is made for the first time.

mod collect;
mod exposition;
pub mod instruments;

#[doc(inline)]
pub use crate::measure::{Distribution, MOST_SERIES};
pub use exposition::Exposition;
pub use instruments::{INSTRUMENTS, Instrument, Kind};

use std::time::SystemTime;

/// The attribute of the series that stands for all those that would be too many.
pub const OVERFLOW: &str = "otel.metric.overflow";

/// The metrics of a node at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Since when counters count. It is the same for each reading of a node.
    since: SystemTime,
    /// When the reading was made.
    at: SystemTime,
    families: Vec<Family>,
}

/// All series of one instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    instrument: &'static Instrument,
    points: Vec<Point>,
    /// The sum of what had no place among the points.
    overflow: Option<Value>,
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The names and values that tell the series apart. No name comes twice.
    pub attributes: Attributes,
    /// Its value.
    pub value: Value,
}

/// The attributes of a series.
pub type Attributes = Vec<(&'static str, String)>;

/// The value of a series. Which of them it is depends on the instrument.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
    /// Durations.
    Times(Distribution),
}

impl Metrics {
    /// Creates a reading without metrics. Counters that will be in it began to count at `since`.
    pub fn new(since: SystemTime) -> Self {
        Self {
            since,
            at: SystemTime::now(),
            families: Vec::new(),
        }
    }

    /// Returns since when its counters count.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Returns when it was made.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Returns the series of each instrument that has some, in the order in which they were added.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// Returns the series of an instrument, to add some.
    pub fn family(&mut self, instrument: &'static Instrument) -> &mut Family {
        let is_it = |one: &Family| one.instrument.name == instrument.name;
        let known = self.families.iter().rposition(is_it);
        let at = known.unwrap_or(self.families.len());
        if known.is_none() {
            self.families.push(Family {
                instrument,
                points: Vec::new(),
                overflow: None,
            });
        }
        &mut self.families[at]
    }

    /// Adds the only series of an instrument, which has no attributes.
    pub fn set(&mut self, instrument: &'static Instrument, value: impl Into<Value>) {
        self.family(instrument).add([], value);
    }

    /// Returns the sum of the series of an instrument whose attributes include these. For durations
    /// it is their number. `None` if there is no such series.
    ///
    /// ```
    /// # use lattice_core::{Lattice, node::NodeOptions};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let lattice = Lattice::in_memory("dev").await?;
    /// let node = lattice.node(NodeOptions::default()).await?;
    /// let metrics = node.metrics();
    /// let in_flight = metrics.total("lattice.bus.in_flight", &[]);
    /// assert_eq!(in_flight, Some(0.0));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn total(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let family = self.families.iter();
        let family = family.rev().find(|one| one.instrument.name == name)?;
        let has = |point: &Point| {
            attributes.iter().all(|(name, value)| {
                let mut own = point.attributes.iter();
                own.any(|(own_name, own)| own_name == name && own == value)
            })
        };
        let mut values = family
            .points()
            .filter(has)
            .map(|point| point.value.number());
        let first = values.next()?;
        Some(values.fold(first, |sum, value| sum + value))
    }

    /// Returns the metrics as text, for Prometheus and all that reads the same.
    pub fn to_text(&self, exposition: Exposition) -> String {
        exposition::text(self, exposition)
    }
}

impl Family {
    /// Returns the instrument.
    pub fn instrument(&self) -> &'static Instrument {
        self.instrument
    }

    /// Returns the series, with that of all others at the end, if there are any.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let other = self.overflow.iter().map(|value| Point {
            attributes: vec![(OVERFLOW, "true".to_owned())],
            value: value.clone(),
        });
        self.points.iter().cloned().chain(other)
    }

    /// Adds a series. If there are [`MOST_SERIES`] already, its value is added to that of all
    /// others.
    pub fn add(
        &mut self,
        attributes: impl IntoIterator<Item = (&'static str, String)>,
        value: impl Into<Value>,
    ) {
        if self.points.len() >= MOST_SERIES {
            return self.add_other(value);
        }
        self.points.push(Point {
            attributes: attributes.into_iter().collect(),
            value: value.into(),
        });
    }

    /// Adds a value to that of all series that have no place of their own.
    pub fn add_other(&mut self, value: impl Into<Value>) {
        let value = value.into();
        match &mut self.overflow {
            Some(sum) => sum.add(value),
            none => *none = Some(value),
        }
    }
}

impl Value {
    /// Returns the value as a number. For durations it is how many there are.
    pub fn number(&self) -> f64 {
        match self {
            Self::Whole(number) => *number as f64,
            Self::Real(number) => *number,
            Self::Times(times) => times.count() as f64,
        }
    }

    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Whole(sum), Self::Whole(value)) => *sum = sum.saturating_add(value),
            (Self::Times(sum), Self::Times(value)) => sum.add(&value),
            (sum, value) => *sum = Self::Real(sum.number() + value.number()),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Distribution> for Value {
    fn from(value: Distribution) -> Self {
        Self::Times(value)
    }
}
