import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { cannotBeRead } from '../system-errors.js'

/** Files of a page by their path. They hold no data and need no token. */
export type PageFiles = Readonly<Record<string, readonly [file: string, type: string]>>

/** Serve the files of a page from the folder of the built pages. */
export function servePage(app: Hono, folder: string, files: PageFiles): void {
  for (const [path, [file, type]] of Object.entries(files))
    app.get(path, async (context) =>
      context.body(new Uint8Array(await pageFile(folder, file)), 200, { 'Content-Type': type }),
    )
}

async function pageFile(folder: string, name: string): Promise<Buffer> {
  return await readFile(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
    throw new Error(cannotBeRead(join(folder, name), error.code), { cause: error })
  })
}
