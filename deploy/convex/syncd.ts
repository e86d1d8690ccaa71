// syncd's store in Convex. Every function is internal: only who holds a deploy key can call it.
// Every mutation may be repeated: the first call's effect stays, and its answer is given again.
import { ConvexError, v } from "convex/values";
import type { Doc } from "./_generated/dataModel";
import type { MutationCtx, QueryCtx } from "./_generated/server";
import { internalMutation, internalQuery } from "./_generated/server";

// Told by `identity`: a syncd that knows another format asks for the functions of its own build.
const format = 2;
// Bytes in one document. It may have 1 MiB in all, and holds project and path besides.
const pieceBytesMax = 1_000_000;
// Pieces that one answer brings.
const piecesMax = 4;
// Bytes that one request brings: with base 64 and all the rest, a third of the 16 MiB allowed.
const partBytesMax = piecesMax * pieceBytesMax;
// Documents that one transaction clears away, so that it stays below the 16 MiB it may write and read.
const clearedMax = 8;

type FileKey = { project: string; path: string };

function findFile(ctx: QueryCtx, { project, path }: FileKey) {
  return ctx.db
    .query("syncdFiles")
    .withIndex("byPath", (q) => q.eq("project", project).eq("path", path))
    .unique();
}

function findVersion(ctx: QueryCtx, { project, path }: FileKey, version: number) {
  return ctx.db
    .query("syncdVersions")
    .withIndex("byVersion", (q) => q.eq("project", project).eq("path", path).eq("version", version))
    .unique();
}

function findUpload(ctx: QueryCtx, { project, path }: FileKey, sequence: number) {
  return ctx.db
    .query("syncdUploads")
    .withIndex("bySequence", (q) =>
      q.eq("project", project).eq("path", path).eq("sequence", sequence))
    .unique();
}

/** Who the store is; null until `identify` was called. */
export const identity = internalQuery({
  args: {},
  handler: async (ctx) => {
    const meta = await ctx.db.query("syncdMeta").unique();
    if (meta === null) return null;
    // Rows of files stay and their sequences only grow, so the highest one now is the highest ever.
    const newest = await ctx.db.query("syncdFiles").withIndex("bySequence").order("desc").first();
    return {
      format,
      store: meta.store,
      journal: meta.journal,
      formerJournals: meta.formerJournals,
      highestSequence: newest === null ? 0 : newest.sequence,
    };
  },
});

/** Gives a new store its identity. Of two that come at once, the first one's stays. */
export const identify = internalMutation({
  args: { store: v.string() },
  handler: async (ctx, { store }) => {
    if ((await ctx.db.query("syncdMeta").unique()) !== null) return null;
    await ctx.db.insert("syncdMeta", { store, journal: null, formerJournals: [] });
    return null;
  },
});

/** Makes the store belong to a journal, unless it belongs to another; answers whose it is. */
export const bind = internalMutation({
  args: { journal: v.string(), isAdopted: v.boolean() },
  handler: async (ctx, { journal, isAdopted }) => {
    const meta = await ctx.db.query("syncdMeta").unique();
    if (meta === null) throw new ConvexError({ code: "not-identified" });
    if (meta.journal === journal) return journal;
    if (meta.journal !== null && !isAdopted) return meta.journal;
    const former = meta.journal === null ? [] : [meta.journal];
    await ctx.db.patch(meta._id, {
      journal,
      formerJournals: [...meta.formerJournals, ...former].filter((name) => name !== journal),
    });
    return journal;
  },
});

/**
 * What becomes of an edit without looking at its content; null: it may be applied.
 *
 * The sequence comes before the condition, so that a repeated edit never meets its own version. One
 * that comes again under a new sequence, from a journal that was restored, is known by who pushed it and
 * by its content.
 */
async function verdict(
  ctx: QueryCtx,
  current: Doc<"syncdFiles"> | null,
  { sequence, expectedVersion, producer, number, digest }: {
    sequence: number; expectedVersion: number | null; producer: string; number: bigint;
    // Null while the content is on its way: then it is compared with the last part.
    digest: bigint | null;
  },
) {
  if (current !== null && sequence === current.sequence) {
    return { outcome: "known", version: current.version };
  }
  if (current !== null && sequence < current.sequence) {
    return { outcome: "stale", sequence: current.sequence };
  }
  const version = current === null ? 0 : current.version;
  if (expectedVersion !== null && expectedVersion !== version) {
    const newest = current === null ? null : await findVersion(ctx, current, version);
    const isOwn = current !== null && newest !== null && newest.producer === producer
      && newest.number === number && (digest === null || current.digest === digest);
    if (!isOwn) return { outcome: "conflict", version };
  }
  return null;
}

/** Stores bytes as pieces from an offset on. */
async function putPieces(
  ctx: MutationCtx, { project, path }: FileKey, sequence: number, start: number, bytes: ArrayBuffer,
) {
  if (bytes.byteLength > partBytesMax) throw new ConvexError({ code: "too-large" });
  for (let at = 0; at < bytes.byteLength; at += pieceBytesMax) {
    await ctx.db.insert("syncdContents", {
      project, path, sequence, offset: start + at, bytes: bytes.slice(at, at + pieceBytesMax),
    });
  }
}

/**
 * Takes a part of a content that is too large for one request, in order; `updateFile` then makes the
 * version of it. Answers how many bytes are here, or what became of the edit already.
 *
 * A part that is here changes nothing, and one beyond what is here neither: the next one is that from
 * `held` on.
 */
export const putPart = internalMutation({
  args: {
    project: v.string(),
    path: v.string(),
    sequence: v.number(),
    expectedVersion: v.union(v.number(), v.null()),
    producer: v.string(),
    number: v.int64(),
    offset: v.number(),
    bytes: v.bytes(),
  },
  handler: async (ctx, part) => {
    const { project, path, sequence, offset, bytes } = part;
    const decided = await verdict(ctx, await findFile(ctx, part), { ...part, digest: null });
    if (decided !== null) return decided;
    const upload = await findUpload(ctx, part, sequence);
    const held = upload === null ? 0 : upload.byteCount;
    if (offset !== held) return { outcome: "held", held };
    await putPieces(ctx, part, sequence, offset, bytes);
    const byteCount = held + bytes.byteLength;
    if (upload === null) {
      await ctx.db.insert("syncdUploads", { project, path, sequence, byteCount });
    } else {
      await ctx.db.patch(upload._id, { byteCount });
    }
    return { outcome: "held", held: byteCount };
  },
});

/**
 * Makes one edit the newest version of its file, and says what came of it: `applied` (the version is
 * new), `known` (the same sequence was applied before), `stale` (a higher one was), `conflict` (the
 * expected version was not met), `held` (parts of the content are missing).
 *
 * `content` is null when it came by `putPart`.
 */
export const updateFile = internalMutation({
  args: {
    project: v.string(),
    path: v.string(),
    sequence: v.number(),
    expectedVersion: v.union(v.number(), v.null()),
    producer: v.string(),
    number: v.int64(),
    acceptedAt: v.number(),
    isDelete: v.boolean(),
    isExecutable: v.boolean(),
    digest: v.int64(),
    byteCount: v.number(),
    content: v.union(v.bytes(), v.null()),
    versionsKept: v.number(),
  },
  handler: async (ctx, edit) => {
    const { project, path, sequence, isDelete, isExecutable, byteCount, digest, content } = edit;
    const current = await findFile(ctx, edit);
    const decided = await verdict(ctx, current, edit);
    if (decided !== null) return decided;
    if (content === null) {
      const upload = await findUpload(ctx, edit, sequence);
      const held = upload === null ? 0 : upload.byteCount;
      if (upload === null || held !== byteCount) return { outcome: "held", held };
      await ctx.db.delete(upload._id);
    } else {
      await putPieces(ctx, edit, sequence, 0, content);
    }
    const version = current === null ? 1 : current.version + 1;
    const row = { project, path, sequence, version, isDelete, isExecutable, byteCount, digest };
    if (current === null) {
      await ctx.db.insert("syncdFiles", row);
    } else {
      await ctx.db.patch(current._id, row);
    }
    await ctx.db.insert("syncdVersions", {
      project,
      path,
      version,
      sequence,
      producer: edit.producer,
      number: edit.number,
      acceptedAt: edit.acceptedAt,
      isDelete,
      isExecutable,
      byteCount,
    });
    const isClear = await clear(ctx, edit, version - edit.versionsKept, sequence);
    return { outcome: "applied", version, hasLeftovers: !isClear };
  },
});

/** Clears away what `updateFile` had to leave, as far as one transaction may; true when all is gone. */
export const clearFile = internalMutation({
  args: {
    project: v.string(),
    path: v.string(),
    versionsKept: v.number(),
    // Uploads up to this sequence will never become versions.
    decided: v.number(),
  },
  handler: async (ctx, { project, path, versionsKept, decided }) => {
    const file = await findFile(ctx, { project, path });
    const newest = file === null ? 0 : file.version;
    return await clear(ctx, { project, path }, newest - versionsKept, decided);
  },
});

/** Removes versions up to `lastVersion`, and uploads up to a sequence; true when none is left. */
async function clear(
  ctx: MutationCtx, file: FileKey, lastVersion: number, lastUpload: number,
): Promise<boolean> {
  const { project, path } = file;
  const versions = await ctx.db
    .query("syncdVersions")
    .withIndex("byVersion", (q) =>
      q.eq("project", project).eq("path", path).lte("version", lastVersion))
    .take(clearedMax);
  const uploads = await ctx.db
    .query("syncdUploads")
    .withIndex("bySequence", (q) =>
      q.eq("project", project).eq("path", path).lte("sequence", lastUpload))
    .take(clearedMax);
  let room = clearedMax;
  for (const row of [...versions, ...uploads]) {
    const pieces = await ctx.db
      .query("syncdContents")
      .withIndex("byOffset", (q) =>
        q.eq("project", project).eq("path", path).eq("sequence", row.sequence))
      .take(room);
    for (const piece of pieces) await ctx.db.delete(piece._id);
    room -= pieces.length;
    // There may be more pieces of it.
    if (room === 0) return false;
    await ctx.db.delete(row._id);
  }
  return versions.length < clearedMax && uploads.length < clearedMax;
}

function told(row: Doc<"syncdVersions">) {
  return {
    version: row.version,
    sequence: row.sequence,
    producer: row.producer,
    number: row.number,
    acceptedAt: row.acceptedAt,
    isDelete: row.isDelete,
    isExecutable: row.isExecutable,
    byteCount: row.byteCount,
  };
}

/**
 * One version, the newest unless one is named; null when it is not kept.
 *
 * With it come the bytes of its content from an offset on, as many as one answer brings; who wants
 * the rest asks again for the same version, from there on.
 */
export const getFile = internalQuery({
  args: {
    project: v.string(),
    path: v.string(),
    version: v.union(v.number(), v.null()),
    offset: v.number(),
  },
  handler: async (ctx, { project, path, version, offset }) => {
    const file = await findFile(ctx, { project, path });
    if (file === null) return null;
    const row = await findVersion(ctx, file, version ?? file.version);
    if (row === null) return null;
    const pieces = await ctx.db
      .query("syncdContents")
      .withIndex("byOffset", (q) =>
        q.eq("project", project).eq("path", path).eq("sequence", row.sequence)
          .gte("offset", offset))
      .take(piecesMax);
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.bytes.byteLength, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(new Uint8Array(piece.bytes), at);
      at += piece.bytes.byteLength;
    }
    return { ...told(row), content: bytes.buffer };
  },
});

/** The versions of a file that are kept, newest first, without content. */
export const history = internalQuery({
  args: { project: v.string(), path: v.string() },
  handler: async (ctx, { project, path }) => {
    const versions = await ctx.db
      .query("syncdVersions")
      .withIndex("byVersion", (q) => q.eq("project", project).eq("path", path))
      .order("desc")
      .collect();
    return versions.map(told);
  },
});

/** Files of a project in byte order of their paths, tombstones included, after a path ("": all). */
export const listFiles = internalQuery({
  args: { project: v.string(), after: v.string(), countMax: v.number() },
  handler: async (ctx, { project, after, countMax }) => {
    const files = await ctx.db
      .query("syncdFiles")
      .withIndex("byPath", (q) => q.eq("project", project).gt("path", after))
      .take(countMax);
    return files.map((file) => ({
      path: file.path,
      version: file.version,
      sequence: file.sequence,
      isDelete: file.isDelete,
      isExecutable: file.isExecutable,
      byteCount: file.byteCount,
      digest: file.digest,
    }));
  },
});
