//! Uses everything that `wasi:blobstore` has: see `blobs.wit`.

wit_bindgen::generate!({ path: "wit", world: "blobs", generate_all });

use exports::lattice_test::blobs::checks::Guest;
use std::fmt::Debug;
use wasi::{
    blobstore::{
        blobstore::{
            container_exists, copy_object, create_container, delete_container, get_container,
            move_object,
        },
        container::Container,
        types::{IncomingValue, ObjectId, OutgoingValue},
    },
    io::streams::StreamError,
};

/// The most that is written and flushed at once.
const PART: usize = 4_096;

struct Blobs;
export!(Blobs);

impl Guest for Blobs {
    fn check() -> Result<(), String> {
        containers()?;
        let container = create_container("photos")?;
        objects(&container)?;
        ranges(&container)?;
        errors(&container)?;
        names(&container)?;
        copies()?;
        container.clear()?;
        same(&listed(&container)?, &Vec::new())?;
        delete_container("photos")
    }

    fn pass_through(size: u64) -> Result<u64, String> {
        let container = create_container("large")?;
        let value = OutgoingValue::new_outgoing_value();
        let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
        container.write_data("object", &value)?;
        let part = vec![7; PART];
        let mut left = size;
        while left > 0 {
            let next = usize::try_from(left).map_or(PART, |left| left.min(PART));
            body.blocking_write_and_flush(&part[..next])
                .map_err(failed)?;
            left -= next as u64;
        }
        drop(body);
        OutgoingValue::finish(value)?;

        let value = container.get_data("object", 0, u64::MAX)?;
        same(&value.size(), &size)?;
        let stream = IncomingValue::incoming_value_consume_async(value)?;
        let mut read = 0;
        loop {
            match stream.blocking_read(1 << 16) {
                Ok(bytes) if bytes.iter().all(|byte| *byte == 7) => read += bytes.len() as u64,
                Ok(_) => return Err("other bytes than were written".to_owned()),
                Err(StreamError::Closed) => return Ok(read),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn drop_unfinished() -> Result<(), String> {
        let container = create_container("unfinished")?;
        let value = OutgoingValue::new_outgoing_value();
        let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
        container.write_data("object", &value)?;
        body.blocking_write_and_flush(b"a part of it")
            .map_err(failed)?;
        drop(body);
        drop(value);
        same(&container.has_object("object")?, &false)
    }

    fn create() -> Result<(), String> {
        create_container("any").map(drop)
    }
}

fn containers() -> Result<(), String> {
    same(&container_exists("photos")?, &false)?;
    let missing = get_container("photos").err().unwrap_or_default();
    same(&missing.contains("photos"), &true)?;
    let container = create_container("photos")?;
    same(&container.name()?, &"photos".to_owned())?;
    same(&container.info()?.name, &"photos".to_owned())?;
    same(&container_exists("photos")?, &true)?;
    get_container("photos").map(drop)
}

fn objects(container: &Container) -> Result<(), String> {
    write(container, "cat", b"meow")?;
    same(&read(container, "cat", 0, u64::MAX)?, &b"meow".to_vec())?;
    write(container, "cat", b"purr!")?;
    let info = container.object_info("cat")?;
    same(
        &(&*info.name, &*info.container, info.size),
        &("cat", "photos", 5),
    )?;
    same(&container.has_object("cat")?, &true)?;
    write(container, "empty", b"")?;
    same(&read(container, "empty", 0, 0)?, &Vec::new())?;
    // Written first, and given to a container afterwards.
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    same(&value.outgoing_value_write_body().is_err(), &true)?;
    body.blocking_write_and_flush(b"later").map_err(failed)?;
    drop(body);
    container.write_data("dog", &value)?;
    same(&container.write_data("dog", &value).is_err(), &true)?;
    OutgoingValue::finish(value)?;
    same(&read(container, "dog", 0, 9)?, &b"later".to_vec())
}

fn ranges(container: &Container) -> Result<(), String> {
    write(container, "digits", b"0123456789")?;
    same(&read(container, "digits", 0, 0)?, &b"0".to_vec())?;
    same(&read(container, "digits", 2, 4)?, &b"234".to_vec())?;
    same(&read(container, "digits", 8, 99)?, &b"89".to_vec())?;
    same(&container.get_data("digits", 2, 4)?.size(), &3)?;
    same(&container.get_data("digits", 10, 11).is_err(), &true)
}

fn errors(container: &Container) -> Result<(), String> {
    let missing = container
        .get_data("nothing", 0, 1)
        .err()
        .unwrap_or_default();
    same(&missing.contains("nothing"), &true)?;
    // What wasn't given to a container is stored nowhere.
    let value = OutgoingValue::new_outgoing_value();
    same(&OutgoingValue::finish(value).is_err(), &true)?;
    // An error of the call is told when the value is finished.
    let value = OutgoingValue::new_outgoing_value();
    container.write_data("", &value)?;
    same(&OutgoingValue::finish(value).is_err(), &true)?;
    container.delete_object("nothing")
}

fn names(container: &Container) -> Result<(), String> {
    let expected = ["cat", "digits", "dog", "empty"]
        .map(str::to_owned)
        .to_vec();
    same(&listed(container)?, &expected)?;
    let names = container.list_objects()?;
    same(&names.skip_stream_object_names(3)?, &(3, false))?;
    same(&names.read_stream_object_names(1)?.0.len(), &1)?;
    same(&names.read_stream_object_names(1)?, &(Vec::new(), true))?;
    container.delete_objects(&["dog".to_owned(), "empty".to_owned()])?;
    same(
        &listed(container)?,
        &["cat", "digits"].map(str::to_owned).to_vec(),
    )
}

fn copies() -> Result<(), String> {
    let other = create_container("other")?;
    let id = |container: &str, object: &str| ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    };
    copy_object(&id("photos", "cat"), &id("other", "copy"))?;
    move_object(&id("photos", "cat"), &id("other", "moved"))?;
    same(
        &listed(&other)?,
        &["copy", "moved"].map(str::to_owned).to_vec(),
    )?;
    same(&read(&other, "moved", 0, 99)?, &b"purr!".to_vec())?;
    delete_container("other")
}

fn write(container: &Container, name: &str, data: &[u8]) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    container.write_data(name, &value)?;
    for part in data.chunks(PART) {
        body.blocking_write_and_flush(part).map_err(failed)?;
    }
    drop(body);
    OutgoingValue::finish(value)
}

fn read(container: &Container, name: &str, start: u64, end: u64) -> Result<Vec<u8>, String> {
    let value = container.get_data(name, start, end)?;
    IncomingValue::incoming_value_consume_sync(value)
}

/// Returns the names of the objects in a container, sorted.
fn listed(container: &Container) -> Result<Vec<String>, String> {
    let names = container.list_objects()?;
    let mut listed = Vec::new();
    loop {
        let (more, is_end) = names.read_stream_object_names(2)?;
        listed.extend(more);
        if is_end {
            listed.sort();
            return Ok(listed);
        }
    }
}

fn same<T: PartialEq + Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found:?}, and not {expected:?}"))
}

fn failed(error: impl Debug) -> String {
    format!("{error:?}")
}
