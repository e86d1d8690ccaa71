// Values as Convex sends and takes them: JSON, and objects of one field ($integer, $bytes, $float) for
// what JSON can't say.

export class ValueError extends Error {}

/** Reads what was sent; input is always read by the encoded rules. */
export function decode(value) {
  if (Array.isArray(value)) {
    if (value.length > 8192) throw new ValueError("Array length is too long");
    return value.map(decode);
  }
  // By code points a surrogate is one that stands alone.
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) {
    throw new ValueError("Strings must be valid Unicode");
  }
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0].startsWith("$")) {
    const bytes = Buffer.from(value[keys[0]], "base64");
    switch (keys[0]) {
      case "$integer": return number(bytes, "readBigInt64LE");
      case "$float": return number(bytes, "readDoubleLE");
      case "$bytes": return new Uint8Array(bytes).buffer;
    }
  }
  const object = {};
  for (const name of keys) {
    if (!/^[\x20-\x7e]+$/.test(name) || name.startsWith("$")) throw new ValueError(`bad field ${name}`);
    object[name] = decode(value[name]);
  }
  return object;
}

function number(bytes, read) {
  if (bytes.length !== 8) throw new ValueError("a number has 8 bytes");
  return bytes[read](0);
}

function eightBytes(write, value) {
  const bytes = Buffer.alloc(8);
  bytes[write](value);
  return bytes.toString("base64");
}

function encode(value, isLossless) {
  if (value === undefined) throw new ValueError("undefined is no value");
  if (typeof value === "bigint") {
    return isLossless ? `{"$integer":"${eightBytes("writeBigInt64LE", value)}"}` : `"${value}"`;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value) || Object.is(value, -0)) {
      return isLossless ? `{"$float":"${eightBytes("writeDoubleLE", value)}"}` : `"${value}"`;
    }
    // A whole number is a float like any other, and looks like one.
    return Number.isInteger(value) ? `${value}.0` : JSON.stringify(value);
  }
  if (value instanceof ArrayBuffer) {
    const text = Buffer.from(value).toString("base64");
    return isLossless ? `{"$bytes":"${text}"}` : `"${text}"`;
  }
  if (Array.isArray(value)) return `[${value.map((v) => encode(v, isLossless)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const fields = Object.entries(value).filter(([, v]) => v !== undefined);
    return `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${encode(v, isLossless)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

export const encodeJSON = (value) => encode(value, true);
export const encodePlainJSON = (value) => encode(value, false);

/** Bytes that a value takes, about as Convex counts them. */
export function sizeOf(value) {
  if (value === undefined) return 0;
  if (value === null || typeof value === "boolean") return 1;
  if (typeof value === "number" || typeof value === "bigint") return 9;
  if (typeof value === "string") return 2 + Buffer.byteLength(value);
  if (value instanceof ArrayBuffer) return 2 + value.byteLength;
  if (Array.isArray(value)) return value.reduce((sum, v) => sum + sizeOf(v), 2);
  return Object.entries(value).reduce((sum, [k, v]) => sum + k.length + 1 + sizeOf(v), 2);
}

const ranks = ["undefined", "null", "bigint", "number", "boolean", "string", "bytes", "array", "object"];
const rank = (v) => ranks.indexOf(
  v === null ? "null" : v instanceof ArrayBuffer ? "bytes" : Array.isArray(v) ? "array" : typeof v);

/** Convex's order of values: by type, then by value; strings by their UTF-8 bytes. */
export function compare(a, b) {
  const difference = rank(a) - rank(b);
  if (difference !== 0) return difference;
  if (typeof a === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (Array.isArray(a)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const result = compare(a[i], b[i]);
      if (result !== 0) return result;
    }
    return a.length - b.length;
  }
  if (a instanceof ArrayBuffer) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
