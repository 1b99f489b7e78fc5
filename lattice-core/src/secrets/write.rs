//! Writing secrets: rewrites of records that are decided by the replica, and that are in the
//! replica when they return.

use super::{SecretError, Secrets};
use crate::{
    link::LinkTable,
    links::{Attempts, Slot, WriteError, Written},
    name::SecretName,
    replica::RecordContent,
    store::{
        Expect, Op, StoreKey,
        record::{Record, RecordError},
        sealed::Sealed,
    },
};

impl Secrets {
    pub(super) async fn put(&self, name: &SecretName, value: &[u8]) -> Result<(), SecretError> {
        let (key, mut attempts) = (StoreKey::secret(name), Attempts::new());
        let put = self.try_put(&key, value, &mut attempts).await;
        put.map_err(|error| truth(error, &key, &attempts))
    }

    async fn try_put(
        &self,
        key: &StoreKey,
        value: &[u8],
        attempts: &mut Attempts,
    ) -> Result<(), SecretError> {
        loop {
            let slot = self.slot(key, attempts).await?;
            self.holds(&slot)?;
            let sealed = Sealed::seal(&self.auth, key, value).ok_or(SecretError::NoKey)?;
            let record = self.writer.encode(&slot.table, key, &sealed)?;
            let ops = vec![Op::put(
                key.clone(),
                record,
                Expect::of(slot.entry.as_ref()),
            )];
            let committed = self.writer.commit(attempts, &slot.table, key, ops).await?;
            if let Some(written) = committed
                && self.writer.seen(written).await?
                && self.is_accepted(&slot, written)
            {
                return Ok(());
            }
            attempts.again(key).await?;
        }
    }

    pub(super) async fn take_away(&self, name: &SecretName) -> Result<(), SecretError> {
        let (key, mut attempts) = (StoreKey::secret(name), Attempts::new());
        let taken = self.try_take_away(&key, name, &mut attempts).await;
        taken.map_err(|error| truth(error, &key, &attempts))
    }

    async fn try_take_away(
        &self,
        key: &StoreKey,
        name: &SecretName,
        attempts: &mut Attempts,
    ) -> Result<(), SecretError> {
        loop {
            let slot = self.slot(key, attempts).await?;
            // A secret that was removed without the key, or of which an old deletion was played
            // again, is deleted too, so that every process receives the deletion.
            let is_known = self.writer.replica.record_table().get(key).is_some();
            if !self.holds(&slot)? && !is_known {
                if attempts.may_have_written() {
                    return Ok(());
                }
                return Err(SecretError::NotFound { name: name.clone() });
            }
            let ops = vec![self.writer.deletion(&slot)];
            let committed = self.writer.commit(attempts, &slot.table, key, ops).await?;
            if let Some(written) = committed
                && (!self.writer.seen(written).await? || self.is_accepted(&slot, written))
            {
                return Ok(());
            }
            attempts.again(key).await?;
        }
    }

    /// Reads the slot of a secret, on which the store and the replica agree.
    async fn slot(&self, key: &StoreKey, attempts: &Attempts) -> Result<Slot, WriteError> {
        let replica = &self.writer.replica;
        replica.check_key()?;
        let has_value = |_: &LinkTable| {
            let records = replica.record_table();
            let content = records.get(key).map(|record| &record.content);
            content.is_some_and(|content| {
                !matches!(
                    content,
                    RecordContent::Refused {
                        is_absent: true,
                        ..
                    }
                )
            })
        };
        self.writer.slot(key, attempts.deadline, has_value).await
    }

    /// Returns whether the store has something at a slot that isn't a deletion. Fails when a newer
    /// version wrote it, which this one doesn't replace.
    fn holds(&self, slot: &Slot) -> Result<bool, WriteError> {
        let Some(entry) = &slot.entry else {
            return Ok(false);
        };
        let records = &self.writer.records;
        let opened = records.open(slot.table.incarnation(), entry);
        let read = opened.and_then(|Record { body, .. }| Sealed::read(&slot.key, &body));
        match read {
            Err(RecordError::Removed { .. }) => Ok(false),
            Err(source @ RecordError::Newer { .. }) => Err(WriteError::Unreadable {
                key: slot.key.clone(),
                source,
            }),
            // Garbage is replaced.
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// Returns whether the replica, which has seen a write, has accepted it, so that every process
    /// does. A later write of the same key counts too. The answer of the store has no tag.
    fn is_accepted(&self, slot: &Slot, written: Written) -> bool {
        let records = self.writer.replica.record_table();
        let is_refused = records.get(&slot.key).is_some_and(|record| {
            record.revision == written.revision
                && matches!(record.content, RecordContent::Refused { .. })
        });
        let before = slot.entry.as_ref().map(|entry| entry.revision);
        before < Some(written.revision)
            && !is_refused
            && records.written_at(&slot.key) >= Some(written.revision)
    }
}

/// Corrects an error by the attempts made: while an answer is lost, it is unknown whether something
/// was written.
fn truth(error: SecretError, key: &StoreKey, attempts: &Attempts) -> SecretError {
    match error {
        SecretError::Write(error) => error.after(key, attempts.may_have_written()).into(),
        error => error,
    }
}
