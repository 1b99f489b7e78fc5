//! Planning and applying, against the lattice.

use super::{
    App, check,
    draft::{Draft, Present},
    files,
    plan::Plan,
    problem::Problems,
    want, warning,
    write::{SEEN_WITHIN, Writing},
};
use crate::{
    Lattice,
    connection::Connection,
    desired::Desired,
    link::{Link, LinkMismatch, LinkTable},
    name::{AppName, ComponentId},
    replica::OtherKey,
    store::{InvalidCommit, MAX_OPS, Op, Revision, StoreError, StoreKey, record::RecordError},
    type_store::TypesError,
    types::ComponentTypes,
};
use std::{collections::HashMap, sync::Arc};

/// Why there is no plan. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Something is wrong with the manifest, by itself or with what there is: everything that was found.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// It takes, or deleting it would take, more than one commit, and would not be atomic.
    #[error(
        "app `{app}` takes {ops} writes at once and the limit is {limit}; split it into several apps, or apply large changes in steps"
    )]
    TooLarge {
        /// The app.
        app: AppName,
        /// What it takes.
        ops: usize,
        /// The limit: [`MAX_OPS`].
        limit: usize,
    },
    /// A record can't be written: one of it is too large.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The published types of linked components could not be read.
    #[error("the types of linked components could not be read; try again when the store is back")]
    Types(#[source] StoreError),
    /// Everything in the store was written with another key.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// There is no such app.
    #[error("there is no app `{app}`; there are {}", Names(there))]
    NoSuchApp {
        /// The app.
        app: AppName,
        /// Those that there are.
        there: Vec<AppName>,
    },
}

struct Names<'a>(&'a [AppName]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            names => {
                let names: Vec<&str> = names.iter().map(AppName::as_str).collect();
                write!(f, "`{}`", names.join("`, `"))
            }
        }
    }
}

/// Why an app was not applied or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no plan. Nothing was written.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Someone changed the same meanwhile. Nothing was written.
    #[error("`{key}` was changed by someone else meanwhile; look at the plan again and apply anew")]
    Conflict {
        /// The key in the store, where the store says which.
        key: StoreKey,
    },
    /// This process follows another life of the store than the one that is there. Nothing was written.
    #[error("the store was re-created and this process has not seen it yet; try again")]
    Behind,
    /// The store does not take it. Nothing was written.
    #[error("the store refused the records of app `{app}`")]
    Refused {
        /// The app.
        app: AppName,
        /// What is wrong with them.
        source: InvalidCommit,
    },
    /// The store can't be used. Nothing was written.
    #[error("app `{app}` could not be written; try again when the store is back")]
    Store {
        /// The app.
        app: AppName,
        /// What the store said.
        source: StoreError,
    },
    /// The answer was lost, and reading back did not tell. All of it was written, or nothing.
    #[error(
        "the answer to the writes of app `{app}` was lost; all of them hold or none, apply it again when the store is back"
    )]
    Unknown {
        /// The app.
        app: AppName,
    },
    /// It holds; this process has not seen it yet.
    #[error("app `{app}` was written, but this process has not seen it within {} s; nothing need be written again", SEEN_WITHIN.as_secs())]
    NotSeen {
        /// The app.
        app: AppName,
    },
}

impl ApplyError {
    /// Whether the same again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::Behind
                | Self::Store { .. }
                | Self::Unknown { .. }
                | Self::Plan(PlanError::Types(_))
        )
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The plan that was carried out.
    pub plan: Plan,
    /// The revision of the last write; `None` when there was nothing to do.
    pub revision: Option<Revision>,
}

impl Lattice {
    /// What [`apply`](Self::apply) would do now. Writes nothing.
    ///
    /// # Errors
    /// [`PlanError`]; [`PlanError::Problems`] with everything that is wrong, each with its place.
    pub async fn plan(&self, app: &App) -> Result<Plan, PlanError> {
        let connection = self.connection();
        let seen = Observed::now(connection);
        let draft = draft(connection, &seen, app).await?;
        seen.ops(connection, &draft)?;
        Ok(draft.plan)
    }

    /// Makes an app what its manifest declares, in one atomic commit: what is new is created, what differs changed, what it no
    /// longer names deleted. Applying it again does nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; [`ApplyError::Conflict`] when another write came first.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the app applied, whole, or not.
    pub async fn apply(&self, app: &App) -> Result<Applied, ApplyError> {
        let connection = self.connection();
        let seen = Observed::now(connection);
        let draft = draft(connection, &seen, app).await?;
        carry_out(connection, &seen, draft).await
    }

    /// Deletes an app and everything that it owns, in one atomic commit.
    ///
    /// # Errors
    /// [`ApplyError`]; [`PlanError::NoSuchApp`] when there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the app deleted, whole, or not.
    pub async fn delete_app(&self, app: &AppName) -> Result<Applied, ApplyError> {
        let connection = self.connection();
        connection.replica.check_key().map_err(PlanError::from)?;
        let seen = Observed::now(connection);
        let draft =
            Draft::without_app(app, seen.present()).ok_or_else(|| PlanError::NoSuchApp {
                app: app.clone(),
                there: seen.desired.apps.keys().cloned().collect(),
            })?;
        if let Some(problems) = App::nameless(draft.found.clone()) {
            return Err(PlanError::Problems(problems).into());
        }
        carry_out(connection, &seen, draft).await
    }
}

/// The state of the lattice that a plan is made from.
struct Observed {
    links: Arc<LinkTable>,
    desired: Arc<Desired>,
}

impl Observed {
    fn now(connection: &Connection) -> Self {
        Self {
            links: connection.replica.snapshot(),
            desired: connection.replica.desired(),
        }
    }

    fn present(&self) -> Present<'_> {
        Present {
            desired: &self.desired,
            links: &self.links,
        }
    }

    fn ops(&self, connection: &Connection, draft: &Draft) -> Result<Vec<Op>, PlanError> {
        fits(draft)?;
        Ok(draft.commit(&connection.records, self.present())?)
    }
}

fn fits(draft: &Draft) -> Result<(), PlanError> {
    if draft.ops() <= MAX_OPS {
        return Ok(());
    }
    Err(PlanError::TooLarge {
        app: draft.plan.app.clone(),
        ops: draft.ops(),
        limit: MAX_OPS,
    })
}

async fn draft(connection: &Connection, seen: &Observed, app: &App) -> Result<Draft, PlanError> {
    connection.replica.check_key()?;
    let manifest = app.manifest();
    let mut found = check::check(manifest, &std::collections::BTreeSet::new());
    found.extend(check::check_configs(manifest, seen.desired.configs.keys()));
    let files = files::read(app).await;
    let (wants, missing) = want::wants(app, &files, &seen.desired);
    found.extend(missing);
    let name = &manifest.name;
    let mut draft = Draft::of_app(name, manifest.version.as_ref(), &wants, seen.present());
    found.append(&mut draft.found);
    // Before the store is asked for the types of all of them.
    fits(&draft)?;
    let mut types = TypesCache::new(connection);
    for (path, link) in &draft.links {
        if let Err(mismatch) = types.check(link).await? {
            found.push((path.clone(), mismatch.into()));
        }
    }
    if let Some(problems) = app.problems(found) {
        return Err(problems.into());
    }
    let peers = connection.presence.peers();
    let warnings = warning::of_hosts(manifest, &seen.desired, &peers);
    draft.plan.warnings.extend(warnings);
    Ok(draft)
}

/// The published types of the components that were asked for.
struct TypesCache<'a> {
    connection: &'a Connection,
    types: HashMap<ComponentId, Option<Arc<ComponentTypes>>>,
}

impl<'a> TypesCache<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            types: HashMap::new(),
        }
    }

    async fn check(&mut self, link: &Link) -> Result<Result<(), LinkMismatch>, PlanError> {
        let source = self.of(&link.source).await?;
        let target = self.of(&link.target).await?;
        Ok(link.check(source.as_deref(), target.as_deref()))
    }

    async fn of(&mut self, id: &ComponentId) -> Result<Option<Arc<ComponentTypes>>, PlanError> {
        if let Some(known) = self.types.get(id) {
            return Ok(known.clone());
        }
        let types = match self.connection.types.of(id).await {
            Ok(types) => types,
            Err(TypesError::Store(error)) => return Err(PlanError::Types(error)),
            // Unusable types are checked at call time, as those of a component that was never started.
            Err(unusable) => {
                tracing::warn!(component = %id, reason = %unusable, "an app is applied without checking this component's types");
                None
            }
        };
        self.types.insert(id.clone(), types.clone());
        Ok(types)
    }
}

async fn carry_out(
    connection: &Connection,
    seen: &Observed,
    draft: Draft,
) -> Result<Applied, ApplyError> {
    let ops = seen.ops(connection, &draft)?;
    let plan = draft.plan;
    if ops.is_empty() {
        let revision = None;
        return Ok(Applied { plan, revision });
    }
    let writing = Writing {
        connection,
        desired: &seen.desired,
        decided_at: seen.links.revision(),
        app: &plan.app,
        ops,
    };
    let revision = Some(writing.write().await?);
    Ok(Applied { plan, revision })
}
