//! What an actor got, in a file that outlives its process.

use crate::Failure;
use lattice_provider_sdk::{Call, Stateless};
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
};

lattice_provider_sdk::provider!({ inline: "
    package lattice-bench:recorder;
    world recorder {
        export wasmcloud:messaging/handler@0.2.0;
        export lattice:schedule/handler@0.1.0;
    }
" });

use lattice::schedule::handler::{Handler as OnTick, Tick};
use wasmcloud::messaging::{handler::Handler as OnMessage, types::BrokerMessage};

/// The actor. Each call appends one line, in one write, before it succeeds.
pub(crate) struct Recorder(File);

/// The lines of all its replicas. Dropping it removes the file.
pub(crate) struct Record(PathBuf);

impl Recorder {
    /// Appends to the record of the lattice on the server at `url`.
    pub(crate) fn open(url: &str) -> Result<Self, Failure> {
        let file = OpenOptions::new().append(true).open(path(url)?)?;
        Ok(Self(file))
    }

    fn append(&self, line: &str) -> Result<(), String> {
        let written = (&self.0).write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| error.to_string())
    }
}

impl Stateless for Recorder {
    type World = World;
}

impl OnMessage for Recorder {
    async fn handle_message(&self, _: &Call<Self>, message: BrokerMessage) -> Result<(), String> {
        self.append(&String::from_utf8_lossy(&message.body))
    }
}

impl OnTick for Recorder {
    async fn on_tick(&self, _: &Call<Self>, tick: Tick) -> Result<(), String> {
        self.append(&format!("{} {}", tick.name, tick.due))
    }
}

impl Record {
    /// Creates an empty record for the lattice on the server at `url`.
    pub(crate) fn create(url: &str) -> Result<Self, Failure> {
        let path = path(url)?;
        File::create(&path)?;
        Ok(Self(path))
    }

    /// Returns the lines so far.
    pub(crate) fn lines(&self) -> Result<Vec<String>, Failure> {
        let text = fs::read_to_string(&self.0)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // It is in the folder for temporary files in any case.
        let _ = fs::remove_file(&self.0);
    }
}

fn path(url: &str) -> Result<PathBuf, Failure> {
    let (_, port) = url.rsplit_once(':').ok_or("the server's URL has a port")?;
    Ok(std::env::temp_dir().join(format!("lattice-faults-record-{port}")))
}
