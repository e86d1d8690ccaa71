// What `npx convex dev` makes of the schema: functions that know its tables.
import { Fields, Handler, Reader, Registered, Writer } from "convex/server";
import { AllTables } from "./dataModel";

export interface QueryCtx {
  db: Reader<AllTables>;
}
export interface MutationCtx {
  db: Writer<AllTables>;
}

function register<Ctx>(kind: "query" | "mutation", isInternal: boolean) {
  return <F extends Fields>(definition: { args: F; handler: Handler<Ctx, F> }): Registered => ({
    kind,
    isInternal,
    args: definition.args,
    handler: definition.handler,
  });
}

export const query = register<QueryCtx>("query", false);
export const mutation = register<MutationCtx>("mutation", false);
export const internalQuery = register<QueryCtx>("query", true);
export const internalMutation = register<MutationCtx>("mutation", true);
