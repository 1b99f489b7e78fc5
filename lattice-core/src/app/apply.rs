//! Plans and applies apps in a lattice.

use super::{
    App, check,
    draft::{Draft, Present},
    files, hidden,
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
    name::{AppName, ComponentId, IntoName, NameError},
    replica::{Behind, OtherKey},
    store::{
        InvalidCommit, KeyKind, MAX_OPS, Op, Revision, StoreError, StoreKey, record::RecordError,
    },
    type_store::TypesError,
    types::ComponentTypes,
};
use std::{collections::HashMap, sync::Arc};

/// How often an app is planned again because a host has recorded meanwhile which versions serve, or
/// because the plan was made from an old copy of the store. Hosts do the former once for each
/// version, and a copy is up to date a moment after the store is back.
const PLANS: u32 = 5;

/// Why an app can't be planned. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The manifest has problems, in itself or with what the lattice already has. All problems that
    /// were found are listed.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Applying the app, or deleting it later, takes more writes than one commit holds, so it would
    /// not be atomic.
    #[error(
        "app `{app}` takes {ops} writes at once and the limit is {limit}; split it into several apps, or apply large changes in steps"
    )]
    TooLarge {
        /// The app.
        app: AppName,
        /// The number of writes.
        ops: usize,
        /// The limit: [`MAX_OPS`].
        limit: usize,
    },
    /// A record is too large to be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The published types of linked components could not be read.
    #[error("the types of linked components could not be read")]
    Types(#[source] StoreError),
    /// Everything in the store was written with another key.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// No app has this name. If its record was removed without the lattice's key, hosts may run it
    /// still: apply it again, and then delete it.
    #[error(
        "there is no app `{app}`; there are {}; if its record was removed without this lattice's key, apply it again, then delete it",
        Names(there)
    )]
    NoSuchApp {
        /// The app.
        app: AppName,
        /// The apps that exist.
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
    /// The name of the app breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The app could not be planned. Nothing was written.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another writer changed the same key in the meantime. Nothing was written.
    #[error(
        "`{key}` was changed by another writer in the meantime; look at the plan again, then apply again"
    )]
    Conflict {
        /// The key in the store, if the store reports it.
        key: StoreKey,
    },
    /// What would be done is not what the caller agreed to, because something was changed since.
    /// Nothing was written.
    #[error(
        "app `{app}` was not written, because it would no longer do what its plan said; plan it again, then apply it"
    )]
    PlanChanged {
        /// The app.
        app: AppName,
    },
    /// This process's copy of the store is behind it, so that other processes might refuse what it
    /// writes. Nothing was written.
    #[error(
        "app `{app}` was not written, because this process's copy of the store is too old; try again"
    )]
    Behind {
        /// The app.
        app: AppName,
        /// What the copy lacks.
        source: Behind,
    },
    /// The app was written, and processes refuse it, because this one had not seen what others had
    /// written before. What they refuse is frozen as it was until the app is applied or deleted
    /// again.
    #[error(
        "app `{app}` was written from a copy of the store that was too old, so that no process accepts all of it; apply or delete it again"
    )]
    Outdated {
        /// The app.
        app: AppName,
    },
    /// The store refused the commit. Nothing was written.
    #[error("the store refused the records of app `{app}`")]
    Refused {
        /// The app.
        app: AppName,
        /// The problem of the commit.
        source: InvalidCommit,
    },
    /// The store can't be used. Nothing was written.
    #[error("app `{app}` could not be written")]
    Store {
        /// The app.
        app: AppName,
        /// The error of the store.
        source: StoreError,
    },
    /// The result of the commit was lost, and reading back did not show it. Either all of it was
    /// written, or nothing.
    #[error(
        "the result of writing app `{app}` was lost: either all of it was written, or nothing; apply it again when the store is back"
    )]
    Unknown {
        /// The app.
        app: AppName,
    },
    /// The app was written, but this process has not seen the writes yet.
    #[error("app `{app}` was written, but this process has not seen it within {} s; there is no need to write it again", SEEN_WITHIN.as_secs())]
    NotSeen {
        /// The app.
        app: AppName,
    },
}

impl ApplyError {
    /// Returns whether the same call may succeed when it is made again.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::Behind { .. }
                | Self::Outdated { .. }
                | Self::Store { .. }
                | Self::Unknown { .. }
                | Self::Plan(PlanError::Types(_))
        )
    }
}

/// The result of applying or deleting an app.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The plan that was carried out.
    pub plan: Plan,
    /// The revision of the last write, or `None` if there was nothing to write.
    pub revision: Option<Revision>,
}

impl Lattice {
    /// Returns what [`apply`](Self::apply) would do now. Writes nothing.
    ///
    /// # Errors
    /// Fails with a [`PlanError`]. [`PlanError::Problems`] lists every problem with its position.
    pub async fn plan(&self, app: &App) -> Result<Plan, PlanError> {
        let connection = self.connection();
        let seen = Observed::now(connection);
        let draft = draft(connection, &seen, app).await?;
        seen.ops(connection, &draft)?;
        Ok(draft.plan)
    }

    /// Makes an app what its manifest declares, in one atomic commit. New resources are created,
    /// those that differ are changed, and those that the manifest no longer names are deleted.
    /// Applying the same manifest again changes nothing.
    ///
    /// # Errors
    /// Fails with an [`ApplyError`]: [`ApplyError::Conflict`] when another write came first.
    ///
    /// # Cancel safety
    /// If the future is dropped, the app is applied as a whole or not at all.
    pub async fn apply(&self, app: &App) -> Result<Applied, ApplyError> {
        self.apply_if(app, |_| true).await
    }

    /// Makes an app what its manifest declares, as [`apply`](Self::apply) does, if `agrees` returns
    /// true for what this would do.
    ///
    /// `agrees` is asked right before each attempt to write, and gets the plan of that attempt. A
    /// caller that compares it with a [`plan`](Self::plan) which a person has seen applies exactly
    /// that plan, or nothing: a later change of what the attempt writes is a conflict.
    ///
    /// # Errors
    /// Fails with an [`ApplyError`]: [`ApplyError::PlanChanged`] when `agrees` returned false.
    ///
    /// # Cancel safety
    /// If the future is dropped, the app is applied as a whole or not at all.
    pub async fn apply_if(
        &self,
        app: &App,
        mut agrees: impl FnMut(&Plan) -> bool + Send,
    ) -> Result<Applied, ApplyError> {
        let connection = self.connection();
        let mut attempts = 0..PLANS;
        loop {
            let seen = Observed::now(connection);
            let draft = draft(connection, &seen, app).await?;
            if !agrees(&draft.plan) {
                let app = draft.plan.app;
                return Err(ApplyError::PlanChanged { app });
            }
            let applied = carry_out(connection, &seen, draft).await;
            if attempts.next().is_none() || !is_worth_another_plan(&applied) {
                return applied;
            }
        }
    }

    /// Deletes an app and everything that it owns, in one atomic commit.
    ///
    /// # Errors
    /// Fails with an [`ApplyError`]: [`PlanError::NoSuchApp`] when there is no such app.
    ///
    /// # Cancel safety
    /// If the future is dropped, the app is deleted as a whole or not at all.
    pub async fn delete_app(&self, app: impl IntoName<AppName>) -> Result<Applied, ApplyError> {
        self.delete_app_if(app, |_| true).await
    }

    /// Deletes an app and everything that it owns, as [`delete_app`](Self::delete_app) does, if
    /// `agrees` returns true for what this would do. It is asked as by
    /// [`apply_if`](Self::apply_if).
    ///
    /// # Errors
    /// Fails with an [`ApplyError`]: [`ApplyError::PlanChanged`] when `agrees` returned false.
    ///
    /// # Cancel safety
    /// If the future is dropped, the app is deleted as a whole or not at all.
    pub async fn delete_app_if(
        &self,
        app: impl IntoName<AppName>,
        mut agrees: impl FnMut(&Plan) -> bool + Send,
    ) -> Result<Applied, ApplyError> {
        let app = &app.into_name()?;
        let connection = self.connection();
        connection.replica.check_key().map_err(PlanError::from)?;
        let mut attempts = 0..PLANS;
        loop {
            let seen = Observed::now(connection);
            let draft =
                Draft::without_app(app, seen.present()).ok_or_else(|| PlanError::NoSuchApp {
                    app: app.clone(),
                    there: seen.desired.apps.keys().cloned().collect(),
                })?;
            if let Some(problems) = App::nameless(draft.found.clone()) {
                return Err(PlanError::Problems(problems).into());
            }
            if !agrees(&draft.plan) {
                let app = app.clone();
                return Err(ApplyError::PlanChanged { app });
            }
            let deleted = carry_out(connection, &seen, draft).await;
            if attempts.next().is_none() || !is_worth_another_plan(&deleted) {
                return deleted;
            }
        }
    }
}

/// Returns whether nothing was written because of what this process had not seen yet, or because of
/// a conflict with a record that hosts write by themselves, which is not a part of the plan.
fn is_worth_another_plan(applied: &Result<Applied, ApplyError>) -> bool {
    match applied {
        Err(ApplyError::Conflict { key }) => matches!(key.kind(), Some(KeyKind::Served(_))),
        Err(ApplyError::Behind { .. }) => true,
        _ => false,
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
    found.extend(hidden::still(manifest));
    let files = files::read(app).await;
    let (wants, missing) = want::wants(app, &files, &seen.desired);
    found.extend(missing);
    let name = &manifest.name;
    let mut draft = Draft::of_app(name, manifest.version.as_ref(), &wants, seen.present());
    found.append(&mut draft.found);
    // This is checked before the store is read for the types of every linked component.
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
    let others = warning::of_versions(&draft.plan.unchanged, &seen.desired, &peers);
    draft.plan.warnings.extend(others);
    Ok(draft)
}

/// The published types of the components that were looked up.
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
            // Types that can't be used are checked at call time, like those of a component that was
            // never started.
            Err(unusable) => {
                tracing::warn!(component = %id, reason = %unusable, "the app is planned without checking this component's types");
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
        basis: seen.present().basis(),
        app: &plan.app,
        ops,
    };
    let revision = Some(writing.write().await?);
    Ok(Applied { plan, revision })
}
