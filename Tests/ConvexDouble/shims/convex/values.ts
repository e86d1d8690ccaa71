// The part of the module "convex/values" that the deployed functions use, with its types.

/** What a validator lets through; `json` describes it for the check at run time. */
export interface Validator<Type> {
  readonly type: Type;
  readonly kind: string;
  readonly parts?: unknown;
}
export type Infer<V> = V extends Validator<infer Type> ? Type : never;
export type Id<Table extends string> = string & { readonly __table: Table };

function validator<Type>(kind: string, parts?: unknown): Validator<Type> {
  return { kind, parts } as Validator<Type>;
}

export const v = {
  string: () => validator<string>("string"),
  number: () => validator<number>("number"),
  int64: () => validator<bigint>("int64"),
  boolean: () => validator<boolean>("boolean"),
  bytes: () => validator<ArrayBuffer>("bytes"),
  null: () => validator<null>("null"),
  id: <Table extends string>(table: Table) => validator<Id<Table>>("id", table),
  array: <Type>(element: Validator<Type>) => validator<Type[]>("array", element),
  union: <Members extends Validator<any>[]>(...members: Members) =>
    validator<Infer<Members[number]>>("union", members),
};

export class ConvexError<Data> extends Error {
  constructor(readonly data: Data) {
    super("ConvexError");
  }
}
