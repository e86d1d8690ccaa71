// The part of the module "convex/server" that the schema and the functions use, with its types.
import { Id, Infer, Validator } from "./values";

export type Fields = Record<string, Validator<any>>;
export type ObjectOf<F extends Fields> = { [Key in keyof F]: Infer<F[Key]> };

export interface Table<F extends Fields = Fields, Indices = {}> {
  readonly fields: F;
  readonly indices: Record<string, string[]>;
  index<Name extends string, Keys extends (keyof F & string)[]>(
    name: Name, fields: [...Keys],
  ): Table<F, Indices & { [Key in Name]: Keys }>;
  readonly __indices?: Indices;
}
export type Tables = Record<string, Table<any, any>>;

export function defineTable<F extends Fields>(fields: F): Table<F> {
  const indices: Record<string, string[]> = {};
  const table: any = {
    fields,
    indices,
    index(name: string, names: string[]) {
      indices[name] = names;
      return table;
    },
  };
  return table;
}

export function defineSchema<T extends Tables>(tables: T): { tables: T } {
  return { tables };
}

// Documents of a schema.
type FieldsOf<T> = T extends Table<infer F, any> ? F : never;
type IndicesOf<T> = T extends Table<any, infer I> ? I : never;
export type DocOf<T extends Tables, Name extends keyof T & string> =
  ObjectOf<FieldsOf<T[Name]>> & { _id: Id<Name>; _creationTime: number };

// Queries over one table.
export interface Range<Doc> {
  eq<Key extends keyof Doc>(field: Key, value: Doc[Key]): Range<Doc>;
  gt<Key extends keyof Doc>(field: Key, value: Doc[Key]): Range<Doc>;
  gte<Key extends keyof Doc>(field: Key, value: Doc[Key]): Range<Doc>;
  lt<Key extends keyof Doc>(field: Key, value: Doc[Key]): Range<Doc>;
  lte<Key extends keyof Doc>(field: Key, value: Doc[Key]): Range<Doc>;
}
export interface Query<Doc> {
  order(direction: "asc" | "desc"): Query<Doc>;
  collect(): Promise<Doc[]>;
  take(count: number): Promise<Doc[]>;
  first(): Promise<Doc | null>;
  unique(): Promise<Doc | null>;
}
export interface IndexedQuery<Doc, Indices> extends Query<Doc> {
  withIndex(name: keyof Indices, range?: (q: Range<Doc>) => Range<Doc>): Query<Doc>;
}
export interface Reader<T extends Tables> {
  query<Name extends keyof T & string>(
    table: Name,
  ): IndexedQuery<DocOf<T, Name>, IndicesOf<T[Name]>>;
  get<Name extends keyof T & string>(id: Id<Name>): Promise<DocOf<T, Name> | null>;
}
export interface Writer<T extends Tables> extends Reader<T> {
  insert<Name extends keyof T & string>(
    table: Name, value: ObjectOf<FieldsOf<T[Name]>>,
  ): Promise<Id<Name>>;
  patch<Name extends keyof T & string>(
    id: Id<Name>, value: Partial<ObjectOf<FieldsOf<T[Name]>>>,
  ): Promise<void>;
  delete<Name extends keyof T & string>(id: Id<Name>): Promise<void>;
}

export type Handler<Ctx, F extends Fields> = (ctx: Ctx, args: ObjectOf<F>) => unknown;
export interface Registered {
  readonly kind: "query" | "mutation";
  readonly isInternal: boolean;
  readonly args: Fields;
  readonly handler: (ctx: any, args: any) => unknown;
}
