// A double of a Convex deployment: it answers the HTTP functions API as Convex does, and runs the
// functions of deploy/convex over a database in memory.
//
//   CONVEX_DOUBLE_KEY=KEY node server.mjs BUILT_FOLDER PORT_FILE
//
// It writes its port into the file, and ends when its standard input does. `POST /double/faults` with
// {"fault": NAME, "count": N, "function": NAME?} plays a fault in the next N calls; `POST /double/plan`
// with {"requests": N} lets so many calls run at once; `GET /double/facts` tells what happened.
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { Conflict, Database } from "./database.mjs";
import { check } from "./validators.mjs";
import { decode, encodeJSON, encodePlainJSON, sizeOf } from "./values.mjs";

const [folder, portFile] = process.argv.slice(2);
const key = process.env.CONVEX_DOUBLE_KEY;
const require = createRequire(path.join(folder, "index.js"));
const functions = require("./syncd.js");
const database = new Database(require("./schema.js").default.tables);

const bodyBytesMax = 16 * 1024 * 1024 + 2000;
const valueBytesMax = 16 * 1024 * 1024;
const rerunsMax = 4;

const faults = [];
const facts = { calls: {}, conflicts: 0, runningMax: 0, turnedAway: 0 };
let plan = 1024;
let running = 0;

class HTTPError extends Error {
  constructor(status, code, message, isText = false) {
    super(message);
    Object.assign(this, { status, code, isText });
  }
}

/** An error whose data survives redaction, as that of a ConvexError of the functions does. */
class PlayedRefusal extends Error {
  data = { code: "played", message: "secret" };
}

// Answers instead of the function.
const refusals = {
  "conflict": [503, "OptimisticConcurrencyControlFailure"],
  "too-many-writes": [429, "TooManyWrites"],
  "too-many-requests": [429, "TooManyConcurrentRequests"],
  "overloaded": [503, "WorkerOverloaded"],
  "system-timeout": [400, "SystemTimeoutError"],
  "paused": [400, "BackendIsNotRunning"],
  "gone": [404, "InstanceNotFound"],
  "blocked": [403, "BadDeployKey"],
};

// Answers, or none, after the function's commit.
const losses = {
  "500-after-commit": [500, "InternalServerError"],
  "408-after-commit": [408, "ClientDisconnected"],
};

function takeFault(name) {
  const fault = faults.find((f) => f.count > 0 && (f.function === undefined || f.function === name));
  if (fault === undefined) return "";
  fault.count -= 1;
  return fault.fault;
}

function find(name, kinds, isAdmin, fault) {
  const found = /^(\w+):(\w+)$/.exec(name);
  if (found === null) throw new HTTPError(400, "BadConvexFunctionIdentifier", "no function's path");
  const definition = found[1] === "syncd" ? functions[found[2]] : undefined;
  const mayCall = definition !== undefined && kinds.includes(definition.kind)
    && (isAdmin || !definition.isInternal);
  if (!mayCall || fault === "undeployed") {
    throw Object.assign(new Error(`Could not find public function for '${name}'.`), { isTold: true });
  }
  return definition;
}

async function run(definition, args) {
  if (sizeOf(args) > valueBytesMax) throw new Error("Function arguments are too large");
  check(definition.args, args);
  const isMutation = definition.kind === "mutation";
  for (let reruns = 0; ; reruns++) {
    try {
      const result = await database.run(isMutation, (db) => definition.handler({ db }, args));
      if (sizeOf(result ?? null) > valueBytesMax) throw new Error("Function result is too large");
      return result ?? null;
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      facts.conflicts += 1;
      if (reruns === rerunsMax) throw new HTTPError(...refusals.conflict, "too many conflicts");
    }
  }
}

function readBody(request) {
  return new Promise((resolve, reject) => {
    const parts = [];
    let size = 0;
    request.on("data", (part) => {
      size += part.length;
      if (size <= bodyBytesMax) parts.push(part);
    });
    request.on("error", reject);
    request.on("end", () => {
      if (size > bodyBytesMax) reject(new HTTPError(400, "BadJsonBody", "the body is too large"));
      else resolve(Buffer.concat(parts).toString("utf8"));
    });
  });
}

function isAdmin(request) {
  const header = request.headers.authorization;
  if (header === undefined) return false;
  if (header.startsWith("Bearer ")) throw new HTTPError(401, "NoAuthProvider", "no provider");
  if (!header.startsWith("Convex ")) throw new HTTPError(400, "InvalidAdminKey", "no such scheme");
  if (header.slice(7) !== key) throw new HTTPError(401, "BadAdminKey", `secret: ${header}`);
  return true;
}

async function readCall(request) {
  if (!(request.headers["content-type"] ?? "").startsWith("application/json")) {
    throw new HTTPError(400, "BadJsonBody", "Expected request with `Content-Type: application/json`");
  }
  const text = await readBody(request);
  const admin = isAdmin(request);
  try {
    const body = JSON.parse(text);
    const args = decode(Array.isArray(body.args) ? body.args[0] : body.args);
    if (typeof body.path !== "string" || args === null || typeof args !== "object") {
      throw new Error("path or args are missing");
    }
    const encode = body.format === "convex_encoded_json" ? encodeJSON : encodePlainJSON;
    return { name: body.path, args, encode, admin };
  } catch (error) {
    throw new HTTPError(400, "BadJsonBody", error.message);
  }
}

/** The answer for a function that threw: as in production, only `errorData` tells anything. */
function answerToThrown(error, encode) {
  if (process.env.CONVEX_DOUBLE_TALKS) console.error(error);
  const message = error.isTold ? error.message : "[Request ID: 0123456789abcdef] Server Error";
  const data = "data" in error ? `,"errorData":${encode(error.data)}` : "";
  return `{"status":"error","errorMessage":${JSON.stringify(message)}${data}}`;
}

async function callFunction(request, response, kinds) {
  const { name, args, encode, admin } = await readCall(request);
  facts.calls[name] = (facts.calls[name] ?? 0) + 1;
  const fault = takeFault(name);
  if (fault in refusals) throw new HTTPError(...refusals[fault], "secret");
  if (fault === "no-json") throw new HTTPError(502, "", "<html>secret</html>", true);
  if (fault === "nonsense") return response.end("secret");
  if (fault === "hang") return;
  let [status, answer] = [200, ""];
  try {
    const definition = find(name, kinds, admin, fault);
    if (fault === "throw") throw new Error("secret");
    if (fault.startsWith("refuse")) throw new PlayedRefusal();
    answer = `{"status":"success","value":${encode(await run(definition, args))}}`;
  } catch (error) {
    if (error instanceof HTTPError) throw error;
    answer = answerToThrown(error, encode);
    if (fault === "refuse-560") status = 560;
  }
  if (fault === "drop-after-commit") return request.socket.destroy();
  if (fault in losses) throw new HTTPError(...losses[fault], "secret");
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(answer);
}

/** Calls a function if the plan has room for it. */
async function admit(request, response, kinds) {
  if (running >= plan) {
    facts.turnedAway += 1;
    request.resume();
    throw new HTTPError(...refusals["too-many-requests"], "the plan allows no more at once");
  }
  running += 1;
  facts.runningMax = Math.max(facts.runningMax, running);
  try {
    await callFunction(request, response, kinds);
  } finally {
    running -= 1;
  }
}

async function answer(request, response) {
  switch (`${request.method} ${request.url.split("?")[0]}`) {
    case "POST /api/query": return admit(request, response, ["query"]);
    case "POST /api/mutation": return admit(request, response, ["mutation"]);
    case "POST /api/function": return admit(request, response, ["query", "mutation"]);
    case "POST /double/faults":
      faults.push(JSON.parse(await readBody(request)));
      return response.end("{}");
    case "POST /double/plan":
      plan = JSON.parse(await readBody(request)).requests;
      return response.end("{}");
    case "GET /double/facts": {
      const pending = faults.reduce((sum, fault) => sum + fault.count, 0);
      return response.end(JSON.stringify({ ...facts, pending, documents: database.counts() }));
    }
    default: throw new HTTPError(404, "NotFound", "no such route");
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (!(error instanceof HTTPError)) {
      console.error(error);
      error = new HTTPError(500, "InternalServerError", "see the double's errors");
    }
    if (response.headersSent || response.destroyed) return;
    response.writeHead(error.status, {
      "Content-Type": error.isText ? "text/html" : "application/json",
    });
    response.end(error.isText ? error.message
      : JSON.stringify({ code: error.code, message: error.message }));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  // Renamed into place, so that nobody reads half a number.
  writeFileSync(`${portFile}.new`, `${server.address().port}`);
  renameSync(`${portFile}.new`, portFile);
});
process.stdin.on("end", () => process.exit(0)).resume();
