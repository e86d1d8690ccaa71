import { defineTable } from "convex/server";
import { v } from "convex/values";

// The tables of syncd's store. Their names begin with "syncd", so that they can stand beside others.
//
// Every file has one row in syncdFiles. Its `sequence` is the fence: an edit with a lower one changes
// nothing. Each version that is kept has a row in syncdVersions. Its content lies in syncdContents, in
// pieces, because a document holds at most 1 MiB.
//
// No row belongs to two files, so edits of different files never conflict, however many run at once.
export const syncdTables = {
  // One row: who the store is, and which journal's sequences it holds.
  syncdMeta: defineTable({
    store: v.string(),
    journal: v.union(v.string(), v.null()),
    formerJournals: v.array(v.string()),
  }),

  syncdFiles: defineTable({
    project: v.string(),
    path: v.string(),
    sequence: v.number(),
    version: v.number(),
    isDelete: v.boolean(),
    isExecutable: v.boolean(),
    byteCount: v.number(),
    digest: v.int64(),
  })
    .index("byPath", ["project", "path"])
    .index("bySequence", ["sequence"]),

  syncdVersions: defineTable({
    project: v.string(),
    path: v.string(),
    version: v.number(),
    sequence: v.number(),
    producer: v.string(),
    number: v.int64(),
    acceptedAt: v.number(),
    isDelete: v.boolean(),
    isExecutable: v.boolean(),
    byteCount: v.number(),
  }).index("byVersion", ["project", "path", "version"]),

  // A content that is too large for one request, while it comes in parts: how much of it is here.
  syncdUploads: defineTable({
    project: v.string(),
    path: v.string(),
    sequence: v.number(),
    byteCount: v.number(),
  }).index("bySequence", ["project", "path", "sequence"]),

  // Pieces of contents, those of uploads included. A sequence names one content for ever.
  syncdContents: defineTable({
    project: v.string(),
    path: v.string(),
    sequence: v.number(),
    offset: v.number(),
    bytes: v.bytes(),
  }).index("byOffset", ["project", "path", "sequence", "offset"]),
};
