// Checks arguments and documents as their validators ask.

function fits(validator, value) {
  switch (validator.kind) {
    case "string": case "id": return typeof value === "string";
    case "number": return typeof value === "number";
    case "int64": return typeof value === "bigint";
    case "boolean": return typeof value === "boolean";
    case "bytes": return value instanceof ArrayBuffer;
    case "null": return value === null;
    case "array": return Array.isArray(value) && value.every((v) => fits(validator.parts, v));
    case "union": return validator.parts.some((v) => fits(v, value));
    default: throw new Error(`a validator of the kind ${validator.kind}`);
  }
}

/** Throws unless an object has exactly these fields with values that fit. */
export function check(fields, object) {
  for (const name of Object.keys(object)) {
    if (!(name in fields)) throw new Error(`Object contains extra field \`${name}\``);
  }
  for (const [name, validator] of Object.entries(fields)) {
    if (!(name in object)) throw new Error(`Object is missing the required field \`${name}\``);
    if (!fits(validator, object[name])) throw new Error(`Value of \`${name}\` does not match`);
  }
}
