import { randomBytes } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UsageError } from '../errors.js'
import { readReviews } from '../quality/reviews.js'
import { cannotBeRead } from '../system-errors.js'
import { ownVersion } from '../training/run-version.js'
import { Catalogue } from './catalogue.js'
import { openServer, refuseUnsafe } from './http-server.js'
import type { StudioOptions } from './options.js'
import { Decisions } from './review/decisions.js'
import { FileHashes } from './review/file-hash.js'
import { CollectionFinder } from './review/finder.js'
import { HostFinder } from './review/host-finder.js'
import { reviewRoutes } from './review/routes.js'
import { routesOf } from './routes.js'
import { Streams } from './stream.js'
import { Watches } from './watch.js'

export interface Studio extends AsyncDisposable {
  /** URL of the page, with the token in its fragment. */
  readonly url: string
}

/**
 * Serve the page of the runs below folders, until the result is disposed.
 * @throws UsageError on a folder that cannot be read or an unsafe address; EnvironmentError on a port in use
 */
export async function openStudio(options: StudioOptions): Promise<Studio> {
  refuseUnsafe(options)
  const token = randomBytes(32).toString('base64url')
  const roots = await rootsOf(options.folders)
  if (options.reviews !== undefined) await verifyReviewFile(options.reviews)
  const catalogue = new Catalogue(roots, options.processes)
  const hashes = new FileHashes()
  const finder = new CollectionFinder(roots, new HostFinder(roots, hashes))
  const streams = new Streams(new Watches(catalogue))
  const reviews = reviewRoutes({
    folders: options.folders,
    finder,
    hashes,
    decisions: new Decisions(options.reviews ?? null, hashes, ownVersion()),
    writable: options.control === true || options.reviews !== undefined,
  })
  const server = await openServer(options, (reachable) =>
    routesOf({ options, reachable, token, catalogue, streams, reviews }),
  )
  return {
    url: `${server.origin}/#token=${token}`,
    async [Symbol.asyncDispose]() {
      streams.close()
      await server.close()
      await catalogue.close()
      await finder.close()
    },
  }
}

async function rootsOf(folders: readonly string[]): Promise<string[]> {
  return await Promise.all(
    folders.map(async (folder) => {
      const real = await realpath(folder).catch((error: NodeJS.ErrnoException) => {
        throw new UsageError(cannotBeRead(folder, error.code, 'folder'), {
          hint: 'name a folder that contains runs',
          cause: error,
        })
      })
      if (!(await stat(real)).isDirectory())
        throw new UsageError(`${folder}: not a folder`, { hint: 'name the folder that holds the file' })
      return real
    }),
  )
}

/** Refuse a file that cannot take decisions before a reviewer makes the first one. A missing file is created later. */
async function verifyReviewFile(file: string): Promise<void> {
  const isThere = await stat(file).then(
    () => true,
    () => false,
  )
  if (isThere) await readReviews(file)
  else
    await stat(dirname(file)).catch((cause: NodeJS.ErrnoException) => {
      throw new UsageError(cannotBeRead(dirname(file), cause.code, 'folder'), {
        hint: 'create the folder, or correct --reviews',
        cause,
      })
    })
}
