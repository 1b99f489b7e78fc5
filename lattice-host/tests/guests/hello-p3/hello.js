// Says hello over HTTP, by WASI 0.3.

import types from "wasi:http/types@0.3.0";

const { Fields, Response } = types;

export const handler = {
  async handle(request) {
    const text = `Hello from JavaScript, at ${request.getPathWithQuery()}!\n`;
    // The engine has no TextEncoder, and the text is ASCII.
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const body = wit.Stream.from([bytes], wit.Stream.U8);
    const none = { tag: "ok", val: null };
    const trailers = wit.Future.from(none, wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
    return Response.new(new Fields(), body.readable, trailers.readable)[0];
  },
};
