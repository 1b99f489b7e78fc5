;; `fill` makes 1,024 calls of `sink.put` at once, all with the same 960 KiB of its memory, and waits
;; until its caller's deadline. The host copies what a call passes, so these copies are what has to
;; be limited.
(component
  (import "lattice-bench:calls/sink@0.1.0" (instance $sink
    (export "put" (func async (param "body" (list u8)) (result (result (error string)))))
    (export "wait" (func (result (result (error string)))))))
  (core module $memory
    (memory (export "memory") 64)
    (global $top (mut i32) (i32.const 0x200000))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $top)
      (global.set $top (i32.and
        (i32.add (i32.add (global.get $top) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $memory (instantiate $memory))
  (core func $put (canon lower (func $sink "put") async
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $wait (canon lower (func $sink "wait")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core module $m
    (import "" "put" (func $put (param i32 i32 i32) (result i32)))
    (import "" "wait" (func $wait (param i32)))
    (import "" "memory" (memory 64))
    (func (export "fill") (param $hold i32) (result i64) (local $made i32)
      (loop $more
        (drop (call $put (i32.const 0) (i32.const 0xf0000)
          (i32.add (i32.const 0x100000) (i32.mul (local.get $made) (i32.const 16)))))
        (local.set $made (i32.add (local.get $made) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $made) (i32.const 1024))))
      (call $wait (i32.const 0xff000))
      (i64.mul (i64.extend_i32_u (local.get $made)) (i64.const 0xf0000))))
  (core instance $i (instantiate $m (with "" (instance
    (export "put" (func $put)) (export "wait" (func $wait))
    (export "memory" (memory $memory "memory"))))))
  (func $fill (param "hold-ms" u32) (result u64) (canon lift (core func $i "fill")))
  (instance (export "lattice-bench:calls/fill@0.1.0") (export "fill" (func $fill))))
