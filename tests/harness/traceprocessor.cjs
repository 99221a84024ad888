// Perfetto's trace processor, compiled to WebAssembly for a browser's worker, run under Node.
//
// Usage: node traceprocessor.cjs DIRECTORY, where DIRECTORY holds engine_bundle.js and trace_processor.wasm.
// Standard input carries requests, each a length (4 bytes, little endian) and as many bytes of a TraceProcessorRpcStream; standard
// output carries the answers, a TraceProcessorRpcStream without lengths.
"use strict";

const fs = require("fs");
const path = require("path");
const vm = require("vm");

const directory = process.argv[2];
const local = (url) => path.join(directory, path.basename(String(url)));

// Standard output is for answers alone.
for (const level of ["debug", "info", "log", "warn"]) console[level] = (...words) => console.error(...words);

// What the bundle expects of a worker.
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = function () {};
globalThis.importScripts = () => {};
globalThis.location = { href: "file://" + path.join(directory, "engine_bundle.js") };
globalThis.XMLHttpRequest = class {
  open(_method, url) {
    this.url = url;
  }
  send() {
    const file = fs.readFileSync(local(this.url));
    this.response = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
    this.status = 200;
  }
};
// The loader takes Node for Node, and then looks for files of its own; it takes an Electron renderer for a browser.
process.type = "renderer";
globalThis.require = require;

function writeAll(bytes) {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += fs.writeSync(1, bytes, done);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const port = { onmessage: null, postMessage: writeAll };
const bundle = path.join(directory, "engine_bundle.js");
vm.runInThisContext(fs.readFileSync(bundle, "utf8"), { filename: bundle });
globalThis.onmessage({ data: port });

// The module is compiled in the foreground, so it is ready before Node reads the first request.
let pending = Buffer.alloc(0);
process.stdin.on("data", (bytes) => {
  pending = Buffer.concat([pending, bytes]);
  while (pending.length >= 4) {
    const end = 4 + pending.readUInt32LE(0);
    if (pending.length < end) return;
    port.onmessage({ data: pending.subarray(4, end) });
    pending = pending.subarray(end);
  }
});
process.stdin.on("end", () => process.exit(0));
process.on("uncaughtException", (error) => {
  console.error(error.stack);
  process.exit(3);
});
