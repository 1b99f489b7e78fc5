"""Says hello over HTTP, by WASI 0.3."""

import componentize_py_async_support
import wit_world
from componentize_py_async_support.streams import ByteStreamWriter
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Request, Response


class Handler(exports.Handler):
    async def handle(self, request: Request) -> Response:
        text = f"Hello from Python, at {request.get_path_with_query()}!\n"
        writer, body = wit_world.byte_stream()
        componentize_py_async_support.spawn(write(writer, text))
        return Response.new(Fields(), body, no_trailers())[0]


async def write(writer: ByteStreamWriter, text: str) -> None:
    with writer:
        await writer.write_all(text.encode())


def no_trailers():
    new = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
    return new(lambda: Ok(None))[1]
