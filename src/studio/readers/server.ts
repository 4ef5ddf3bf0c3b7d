import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../errors.js'
import { readJournal } from '../../readers/journal.js'
import {
  ensureReaders,
  readReaders,
  readStudy,
  STUDY_FILES,
  volumeBytes,
  volumeFile,
} from '../../readers/study.js'
import { ownVersion } from '../../training/run-version.js'
import { openServer, refuseUnsafe } from '../http-server.js'
import type { StudioAddress } from '../options.js'
import { ReaderProgress } from './progress.js'
import { readerRoutes } from './routes.js'

export interface ReaderServerOptions extends StudioAddress {
  /** Folder of the study. */
  readonly study: string
  /** Names of readers, or the number of pseudonyms. Readers that are missing are created. */
  readonly readers: readonly string[] | number
  /** Folder of the built pages. */
  readonly pageFolder: string
}

export interface ReaderServer extends AsyncDisposable {
  /** The link of each reader, with their own token in its fragment. */
  readonly readers: readonly { readonly id: string; readonly url: string; readonly answered: number }[]
  /** Cases of each reader, repeats included. */
  readonly total: number
}

/**
 * Serve a study to its readers, until the result is disposed. The file with the truth is never opened.
 * @throws UsageError for a folder without a study or an unsafe address; DataError for a damaged study
 */
export async function openReaderServer(options: ReaderServerOptions): Promise<ReaderServer> {
  refuseUnsafe(options)
  const study = await readStudy(options.study)
  const folder = await realpath(options.study)
  await verifyVolumes(folder, study)
  await readJournal(join(folder, STUDY_FILES.journal))
  const readers = await ensureReaders(folder, options.readers)
  const progress = new ReaderProgress(folder, study, ownVersion())
  const server = await openServer(options, (reachable) =>
    readerRoutes({
      study,
      reachable,
      progress,
      pageFolder: options.pageFolder,
      volumes: join(folder, STUDY_FILES.volumes),
      readers: () => readReaders(folder),
    }),
  )
  return {
    readers: await Promise.all(
      readers.map(async (reader) => ({
        id: reader.id,
        url: `${server.origin}/#token=${reader.token}`,
        answered: await progress.answered(reader),
      })),
    ),
    total: study.cases + study.repeated.length,
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** Refuse a study whose volumes differ in size: the size would reveal a case. */
async function verifyVolumes(folder: string, study: Awaited<ReturnType<typeof readStudy>>): Promise<void> {
  const names = [
    ...Array.from({ length: study.cases }, (_, at) => volumeFile('case', at + 1)),
    ...study.examples.map((_, at) => volumeFile('example', at + 1)),
  ]
  const expected = volumeBytes(study)
  for (const name of names) {
    const file = join(folder, name)
    const bytes = await stat(file).then(
      ({ size }) => size,
      () => -1,
    )
    if (bytes !== expected)
      throw new DataError(
        `${file}: ${bytes < 0 ? 'file not found' : `wrong size (expected ${expected} bytes, found ${bytes})`}`,
        { hint: 'create the study again' },
      )
  }
}
