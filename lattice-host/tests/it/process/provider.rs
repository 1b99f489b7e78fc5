//! The program of a provider that does what its caller or its settings say, good or bad.

use lattice_provider_sdk::{Call, Link, Provider, Refusal, process};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, exit},
    thread,
    time::Duration,
};

lattice_provider_sdk::provider!({
    inline: "
        package test:process@0.1.0;
        interface acts {
            pid: func() -> u32;
            prefixed: func(text: string) -> string;
            environment: func() -> list<string>;
            print: func(lines: u32);
            start-another: func() -> u32;
            can-map: func(mib: u32) -> bool;
            end: func(code: u8);
            block-all: func();
        }
        world acting { export acts; }
    ",
});
use test::process::acts::Acts;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Settings {
    mode: Mode,
    /// A file of which only one process should have the lock at a time.
    lock: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Good,
    ExitsAtOnce,
    HangsAtStart,
    IgnoresStop,
    Unwell,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Good,
            lock: None,
        }
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    prefix: String,
}

struct Actor {
    mode: Mode,
    /// It is locked for as long as it is open.
    _locked: Option<File>,
}

/// Locks a file, or writes next to it that another process has it locked.
fn locked(path: &Path) -> File {
    let file = File::create(path).expect("it can be created");
    if file.try_lock().is_err() {
        fs::write(path.with_extension("twice"), "").expect("it can be created");
    }
    file
}

impl Provider for Actor {
    type World = World;
    type Config = Config;
    type Binding = String;

    async fn stop(&self) {
        if self.mode == Mode::IgnoresStop {
            thread::sleep(Duration::from_secs(60));
        }
    }

    async fn health(&self) -> Result<(), Refusal> {
        if self.mode == Mode::Unwell {
            return Err(Refusal::new("its disk is full"));
        }
        Ok(())
    }

    async fn link(&self, _: &Link, config: Config) -> Result<String, Refusal> {
        Ok(config.prefix)
    }

    async fn operator(&self) -> Option<String> {
        Some("operator: ".to_owned())
    }
}

impl Acts for Actor {
    async fn pid(&self, _: &Call<Self>) -> u32 {
        std::process::id()
    }

    async fn prefixed(&self, call: &Call<Self>, text: String) -> String {
        format!("{}{text}", call.binding())
    }

    async fn environment(&self, _: &Call<Self>) -> Vec<String> {
        env::vars()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    async fn print(&self, _: &Call<Self>, lines: u32) {
        for number in 0..lines {
            println!("line {number}");
        }
    }

    /// Starts a process that outlives this one unless somebody ends it, and has its pipes.
    async fn start_another(&self, _: &Call<Self>) -> u32 {
        let another = Command::new("/bin/sleep").arg("1000").spawn();
        another.map_or(0, |another| another.id())
    }

    async fn can_map(&self, _: &Call<Self>, mib: u32) -> bool {
        let mut memory: Vec<u8> = Vec::new();
        memory
            .try_reserve_exact(mib as usize * 1_024 * 1_024)
            .is_ok()
    }

    /// Blocks all threads of the runtime, after its result was sent or before.
    async fn block_all(&self, _: &Call<Self>) {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..2 * threads {
            tokio::spawn(async { thread::sleep(Duration::from_secs(1_000)) });
        }
    }

    async fn end(&self, _: &Call<Self>, code: u8) {
        eprintln!("told to end");
        exit(code.into());
    }
}

fn main() -> ExitCode {
    process::run(|Settings { mode, lock }| {
        match mode {
            Mode::ExitsAtOnce => {
                eprintln!("the disk is on fire");
                exit(3);
            }
            Mode::HangsAtStart => {
                println!("waiting for something");
                thread::sleep(Duration::from_secs(60));
            }
            Mode::Good | Mode::IgnoresStop | Mode::Unwell => {}
        }
        Actor {
            mode,
            _locked: lock.as_deref().map(locked),
        }
    })
}
