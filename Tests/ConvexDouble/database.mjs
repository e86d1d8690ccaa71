// Tables in memory with serializable transactions, by optimistic concurrency: a mutation notes what it
// has read, and its commit is refused when somebody has changed any of that meanwhile. A query sees one
// moment, because it runs without a pause.
import { check } from "./validators.mjs";
import { compare, sizeOf } from "./values.mjs";

export class Conflict extends Error {}

const documentBytesMax = 1024 * 1024;
const bytesMax = 16 * 1024 * 1024;
const writtenDocumentsMax = 16_000;
const readDocumentsMax = 32_000;

/** Documents of a table in the order of one index. */
class Index {
  constructor(fields) {
    this.fields = [...fields, "_creationTime"];
    this.documents = [];
  }

  order = (a, b) => {
    for (const field of this.fields) {
      const result = compare(a[field], b[field]);
      if (result !== 0) return result;
    }
    return 0;
  };

  /** The first place whose document is not before the wanted one. */
  place(isBefore) {
    let [low, high] = [0, this.documents.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.documents[middle])) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  insert(document) {
    this.documents.splice(this.place((d) => this.order(d, document) < 0), 0, document);
  }

  remove(document) {
    this.documents.splice(this.place((d) => this.order(d, document) < 0), 1);
  }
}

export class Database {
  constructor(definitions) {
    this.tables = {};
    this.time = 0;
    // What each commit has changed, as far as a mutation that runs may have to know; and the number of
    // the first of them.
    this.commits = [];
    this.first = 0;
    this.running = new Set();
    for (const [name, { fields, indices }] of Object.entries(definitions)) {
      const made = { byCreation: new Index([]) };
      for (const [index, names] of Object.entries(indices)) made[index] = new Index(names);
      this.tables[name] = { fields, documents: new Map(), indices: made };
    }
  }

  /** Runs a query or a mutation once; a mutation may end with a Conflict. */
  async run(isMutation, body) {
    const transaction = new Transaction(this, isMutation);
    this.running.add(transaction);
    try {
      let result, thrown;
      try {
        result = await body(transaction);
      } catch (error) {
        thrown = { error };
      }
      // Who saw two moments may have thrown because of it.
      await transaction.validate();
      if (thrown !== undefined) throw thrown.error;
      this.apply(transaction.writes);
      return result;
    } finally {
      this.running.delete(transaction);
      this.forget();
    }
  }

  counts() {
    return Object.fromEntries(
      Object.entries(this.tables).map(([name, table]) => [name, table.documents.size]));
  }

  apply(writes) {
    const changed = [];
    for (const [id, { table: name, document }] of writes) {
      const table = this.tables[name];
      const old = table.documents.get(id);
      if (old !== undefined) {
        for (const index of Object.values(table.indices)) index.remove(old);
        table.documents.delete(id);
        changed.push([name, old]);
      }
      if (document === null) continue;
      for (const index of Object.values(table.indices)) index.insert(document);
      table.documents.set(id, document);
      changed.push([name, document]);
    }
    if (changed.length > 0) this.commits.push(changed);
  }

  forget() {
    const oldest = Math.min(...[...this.running].map((t) => t.start), this.first + this.commits.length);
    this.commits.splice(0, oldest - this.first);
    this.first = oldest;
  }
}

class Transaction {
  constructor(database, isMutation) {
    Object.assign(this, {
      database, isMutation, start: database.first + database.commits.length, reads: [],
      writes: new Map(), writtenBytes: 0, readBytes: 0, readDocuments: 0,
    });
  }

  // Lets others run, so that mutations do interleave.
  async pause() {
    if (this.isMutation) await new Promise((resolve) => setImmediate(resolve));
  }

  async validate() {
    await this.pause();
    for (const changed of this.database.commits.slice(this.start - this.database.first)) {
      for (const [table, document] of changed) {
        if (this.reads.some((read) => read.table === table && read.fits(document))) {
          throw new Conflict();
        }
      }
    }
  }

  // Reading.

  query(table) { return new Query(this, table, "byCreation", []); }

  async get(id) {
    await this.pause();
    const table = tableOf(id);
    this.reads.push({ table, fits: (document) => document._id === id });
    const write = this.writes.get(id);
    const document = write === undefined
      ? this.database.tables[table].documents.get(id) ?? null : write.document;
    return document === null ? null : this.seen(document);
  }

  seen(document) {
    this.readBytes += sizeOf(document);
    this.readDocuments += 1;
    if (this.readBytes > bytesMax) throw new Error("Too many bytes read in a single function");
    if (this.readDocuments > readDocumentsMax) throw new Error("Too many documents read");
    return document;
  }

  // Writing.

  async insert(table, value) {
    const id = `${table}|${(this.database.time += 1)}`;
    this.write(table, { ...value, _id: id, _creationTime: this.database.time });
    return id;
  }

  async patch(id, value) {
    const old = await this.get(id);
    if (old === null) throw new Error("Update on nonexistent document");
    this.write(tableOf(id), { ...old, ...value });
  }

  async delete(id) {
    const old = await this.get(id);
    if (old === null) throw new Error("Delete on nonexistent document");
    this.note(sizeOf(old));
    this.writes.set(id, { table: tableOf(id), document: null });
  }

  write(table, document) {
    if (!this.isMutation) throw new Error("a query can't write");
    const { _id, _creationTime, ...fields } = document;
    check(this.database.tables[table].fields, fields);
    const size = sizeOf(document);
    if (size > documentBytesMax) throw new Error("Value is too large");
    this.note(size);
    this.writes.set(_id, { table, document });
  }

  note(size) {
    this.writtenBytes += size;
    if (this.writtenBytes > bytesMax) throw new Error("Too many bytes written");
    if (this.writes.size >= writtenDocumentsMax) throw new Error("Too many documents written");
  }
}

const tableOf = (id) => id.slice(0, id.indexOf("|"));

class Query {
  constructor(transaction, table, index, bounds, isDescending = false) {
    Object.assign(this, { transaction, table, index, bounds, isDescending });
  }

  withIndex(index, range) {
    const bounds = [];
    const builder = {};
    for (const kind of ["eq", "gt", "gte", "lt", "lte"]) {
      builder[kind] = (field, value) => {
        bounds.push({ kind, field, value });
        return builder;
      };
    }
    range?.(builder);
    const { fields } = this.transaction.database.tables[this.table].indices[index];
    // As in Convex: equalities of the first fields in their order, then bounds of the next one.
    const equalities = bounds.filter((bound) => bound.kind === "eq").length;
    bounds.forEach((bound, place) => {
      if (bound.field !== fields[Math.min(place, equalities)] || (bound.kind === "eq") !== place < equalities) {
        throw new Error(`${index} can't be asked for ${bound.field} there`);
      }
    });
    return new Query(this.transaction, this.table, index, bounds, this.isDescending);
  }

  order(direction) {
    return new Query(
      this.transaction, this.table, this.index, this.bounds, direction === "desc");
  }

  fits = (document) => this.bounds.every(({ kind, field, value }) => {
    const order = compare(document[field], value);
    switch (kind) {
      case "eq": return order === 0;
      case "gt": return order > 0;
      case "gte": return order >= 0;
      case "lt": return order < 0;
      default: return order <= 0;
    }
  });

  async collect() { return this.read(Infinity); }
  async take(count) { return this.read(count); }
  async first() { return (await this.read(1))[0] ?? null; }

  async unique() {
    const found = await this.read(2);
    if (found.length > 1) throw new Error("unique() query returned more than one result");
    return found[0] ?? null;
  }

  async read(count) {
    await this.transaction.pause();
    const { transaction, table } = this;
    // The whole range counts as read, also what lies beyond the count: stricter than Convex.
    transaction.reads.push({ table, fits: this.fits });
    const index = transaction.database.tables[table].indices[this.index];
    const own = [...transaction.writes.values()].filter((write) => write.table === table);
    const found = [];
    // The documents of the range lie together. Without writes of its own the transaction needs no more
    // of them than it asks for.
    const { documents } = index;
    const [start, end] = [this.startOf(index), this.endOf(index)];
    const wanted = own.length > 0 ? end - start : Math.min(count, end - start);
    for (let step = 0; step < wanted; step++) {
      const document = documents[this.isDescending ? end - 1 - step : start + step];
      if (!transaction.writes.has(document._id)) found.push(document);
    }
    for (const { document } of own) {
      if (document !== null && this.fits(document)) found.push(document);
    }
    found.sort(this.isDescending ? (a, b) => index.order(b, a) : index.order);
    return found.slice(0, count).map((document) => transaction.seen(document));
  }

  startOf(index) {
    return index.place((document) => this.compareTo(document, ["eq", "gt", "gte"], (kind) => kind === "gt") < 0);
  }

  endOf(index) {
    return index.place((document) => this.compareTo(document, ["eq", "lt", "lte"], (kind) => kind !== "lt") <= 0);
  }

  /** Where a document stands to the bounds of these kinds: before them, within (0), behind. */
  compareTo(document, kinds, isEqualBefore) {
    for (const { kind, field, value } of this.bounds) {
      if (!kinds.includes(kind)) continue;
      const order = compare(document[field], value);
      if (kind === "eq") {
        if (order !== 0) return order;
      } else if (order === 0) {
        return isEqualBefore(kind) ? -1 : 1;
      } else {
        return order;
      }
    }
    return 0;
  }
}
