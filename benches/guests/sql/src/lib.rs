//! Reads a row of a database by its key, another one each time.

wit_bindgen::generate!({
    inline: "
        package lattice-bench:sql;
        world sql {
            import lattice:sql/database@0.1.0;
            export lattice-bench:lookup/lookup@0.1.0;
        }
    ",
    path: ["../../../wit/lattice-sql", "../lookup"],
    generate_all,
});

use exports::lattice_bench::lookup::lookup::Guest;
use lattice::sql::database::{Connection, Value};
use std::cell::{Cell, OnceCell};

/// The statement, and how many rows there are. The bench has them too.
const QUERY: &str = "SELECT body FROM readings WHERE id = $1";
const ROWS: i32 = 1_000;

thread_local! {
    static CONNECTION: OnceCell<Connection> = const { OnceCell::new() };
    static NEXT: Cell<i32> = const { Cell::new(0) };
}

struct Reader;
export!(Reader);

impl Guest for Reader {
    fn run(count: u32) -> Result<u64, String> {
        (0..count)
            .map(|_| read().map(|body| body.len() as u64))
            .sum()
    }

    fn once() -> Result<Vec<u8>, String> {
        read()
    }
}

fn read() -> Result<Vec<u8>, String> {
    let id = NEXT.get();
    NEXT.set((id + 1) % ROWS);
    let found = CONNECTION.with(|connection| {
        let connection = connection.get_or_init(Connection::new);
        connection.query(QUERY, &[Value::Int32(id)])
    });
    let found = found.map_err(|error| format!("{error:?}"))?;
    match found.rows.into_iter().flatten().next() {
        Some(Value::Binary(body)) => Ok(body),
        other => Err(format!("{other:?} is row {id}")),
    }
}
