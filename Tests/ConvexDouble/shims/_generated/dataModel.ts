// What `npx convex dev` makes of the schema: the types of its documents.
import { DocOf } from "convex/server";
import schema from "../schema";

export type AllTables = typeof schema.tables;
export type Doc<Name extends keyof AllTables & string> = DocOf<AllTables, Name>;
