import { defineSchema } from "convex/server";
import { syncdTables } from "./syncdTables";

// If the deployment has a schema already, spread `...syncdTables` into it instead.
export default defineSchema({ ...syncdTables });
