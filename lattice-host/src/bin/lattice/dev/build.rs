//! Builds the parts of a project with their own tools, whose words are printed as they are.

use super::{
    child,
    parts::{Part, PartKind, Recipe},
    tool::{self, ToolError, WASM},
};
use crate::output::note;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{process::Command, time::timeout};

/// How often it is said that a tool still runs.
const MINUTE: Duration = Duration::from_secs(60);

/// Builds parts. It knows the folders whose compiler it has checked.
#[derive(Debug, Default)]
pub(super) struct Builder {
    checked: BTreeSet<PathBuf>,
}

impl Builder {
    /// Builds these parts, those of one workspace at once. Passes them to `report` as soon as they
    /// are built, with how long that took.
    ///
    /// # Errors
    /// Fails with the [`ToolError`] of the first tool that fails. What was built before that stays.
    ///
    /// # Cancel safety
    /// Dropping the future kills the tool. Tools replace what they build only when it is complete.
    pub(super) async fn build(
        &mut self,
        parts: &[&Part],
        mut report: impl FnMut(&[&Part], Duration),
    ) -> Result<(), ToolError> {
        let mut workspaces: BTreeMap<(&Path, bool), Vec<&Part>> = BTreeMap::new();
        for part in parts {
            let begun = Instant::now();
            match &part.recipe {
                Recipe::Cargo(workspace) => {
                    let is_actor = part.kind == PartKind::Actor;
                    let together = workspaces
                        .entry((workspace.as_path(), is_actor))
                        .or_default();
                    together.push(part);
                    continue;
                }
                Recipe::Npm => npm(&part.folder).await?,
                Recipe::Program(line) => program(&part.folder, line).await?,
            }
            report(&[*part], begun.elapsed());
        }
        for ((workspace, is_actor), parts) in workspaces {
            let begun = Instant::now();
            if is_actor && !self.checked.contains(workspace) {
                tool::check_wasm(workspace).await?;
                self.checked.insert(workspace.into());
            }
            cargo(workspace, is_actor, &parts).await?;
            report(&parts, begun.elapsed());
        }
        Ok(())
    }
}

async fn cargo(workspace: &Path, is_actor: bool, parts: &[&Part]) -> Result<(), ToolError> {
    let mut cargo = tool::cargo();
    cargo.args(["build", "--release"]).current_dir(workspace);
    if is_actor {
        cargo.args(["--lib", "--target", WASM]);
    } else {
        cargo.arg("--bins");
    }
    for part in parts {
        cargo.args(["--package", &part.name]);
    }
    run("cargo", &mut cargo, ToolError::NoRust("cargo")).await
}

async fn npm(folder: &Path) -> Result<(), ToolError> {
    // A workspace of npm has the packages of all its members in its own folder.
    let mut above = folder.ancestors();
    if !above.any(|folder| folder.join("node_modules").is_dir()) {
        return Err(ToolError::NoModules(folder.into()));
    }
    let mut npm = Command::new("npm");
    npm.args(["run", "--silent", "build"]).current_dir(folder);
    run("npm run build", &mut npm, ToolError::NoNpm).await
}

/// Runs a program of the project's own environment of Python, if it has one, or else of PATH.
async fn program(folder: &Path, line: &[String]) -> Result<(), ToolError> {
    let Some((program, arguments)) = line.split_first() else {
        return Ok(());
    };
    let own = folder.join(".venv/bin");
    let path = match own.join(program) {
        path if path.is_file() => path,
        _ => program.into(),
    };
    let missing = if program == "componentize-py" {
        ToolError::NoComponentizePy(folder.into())
    } else {
        ToolError::NoProgram {
            program: program.clone(),
            file: folder.join("pyproject.toml"),
        }
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .current_dir(folder)
        .env("PATH", tool::path_with(&own));
    run(program, &mut command, missing).await
}

async fn run(tool: &str, command: &mut Command, missing: ToolError) -> Result<(), ToolError> {
    let ended = told_of(child::run(command), |minutes| {
        note(&format!(
            "`{tool}` has run for {minutes} min; a change ends it and begins again, and ctrl-c ends all"
        ));
    });
    let ended = ended.await;
    let status = ended.map_err(|error| ToolError::start(tool, error, missing))?;
    if status.success() {
        Ok(())
    } else {
        let tool = format!("`{tool}`");
        Err(ToolError::Failed { tool, status })
    }
}

/// Waits for something, and passes on each minute how many have passed.
async fn told_of<T>(work: impl Future<Output = T>, told: impl Fn(u32)) -> T {
    let mut work = std::pin::pin!(work);
    let mut minutes = 0;
    loop {
        if let Ok(done) = timeout(MINUTE, &mut work).await {
            return done;
        }
        minutes += 1;
        told(minutes);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn part(folder: &Path, line: &[&str]) -> Part {
        Part {
            name: "it".to_owned(),
            folder: folder.into(),
            kind: PartKind::Actor,
            recipe: Recipe::Program(line.iter().map(|word| (*word).to_owned()).collect()),
            output: folder.join("it.wasm"),
            named: BTreeSet::new(),
        }
    }

    async fn build(part: &Part) -> Result<Vec<String>, ToolError> {
        let built = Mutex::new(Vec::new());
        let report = |parts: &[&Part], _: Duration| {
            let names = parts.iter().map(|part| part.name.clone());
            built.lock().expect("no panic").extend(names);
        };
        Builder::default().build(&[part], report).await?;
        Ok(built.into_inner().expect("no panic"))
    }

    #[tokio::test]
    async fn a_program_of_the_projects_environment_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let built = build(&part(at, &["sh", "-c", "echo > it.wasm"])).await;
        assert_eq!(built.expect("built"), ["it"]);
        assert!(at.join("it.wasm").is_file());

        std::fs::create_dir_all(at.join(".venv/bin")).expect("a folder");
        std::os::unix::fs::symlink("/bin/sh", at.join(".venv/bin/own-sh")).expect("linked");
        let built = build(&part(at, &["own-sh", "-c", "own-sh -c true"])).await;
        assert!(built.is_ok(), "{built:?}");
    }

    #[tokio::test]
    async fn what_is_missing_or_fails_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let error = build(&part(at, &["sh", "-c", "exit 7"])).await;
        let error = error.expect_err("it fails");
        assert!(!error.is_missing_tool());
        assert!(error.to_string().starts_with("`sh` failed ("), "{error}");
        let error = build(&part(at, &["no-such-tool"])).await;
        let error = error.expect_err("there is none");
        assert!(error.is_missing_tool());
        assert!(error.to_string().contains("pyproject.toml"), "{error}");
        let mut javascript = part(at, &[]);
        javascript.recipe = Recipe::Npm;
        let error = build(&javascript).await.expect_err("nothing is installed");
        assert!(error.to_string().contains("`npm install`"), "{error}");
    }

    #[tokio::test]
    async fn packages_may_be_installed_in_the_folder_of_a_workspace() {
        let folder = tempfile::tempdir().expect("a folder");
        let member = folder.path().join("packages/front");
        std::fs::create_dir_all(&member).expect("a folder");
        std::fs::write(member.join("package.json"), r#"{"scripts":{}}"#).expect("written");
        std::fs::create_dir(folder.path().join("node_modules")).expect("a folder");
        let mut javascript = part(&member, &[]);
        javascript.recipe = Recipe::Npm;
        // There is no script, or no npm.
        let error = build(&javascript).await.expect_err("nothing is built");
        assert!(!matches!(error, ToolError::NoModules(_)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_goes_on_is_told_of() {
        let told = Mutex::new(Vec::new());
        let hangs = tokio::time::sleep(MINUTE * 5 / 2);
        told_of(hangs, |minutes| {
            told.lock().expect("no panic").push(minutes)
        })
        .await;
        assert_eq!(told.into_inner().expect("no panic"), [1, 2]);
    }
}
