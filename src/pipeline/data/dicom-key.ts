import { randomBytes } from 'node:crypto'
import { open, readFile, realpath } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { EnvironmentError, UsageError } from '../../errors.js'
import { quoted } from '../../plain-text.js'
import { cannotBeRead, typedSystemError } from '../../system-errors.js'
import { makeFolder, syncFolder } from '../../whole-file.js'

const KEY_BYTES = 32

/** Return the path of the key if none is named: one for each user, outside every output. */
export function defaultKeyFile(env: Readonly<Record<string, string | undefined>>): string {
  const { XDG_STATE_HOME: state } = env
  const base = state && isAbsolute(state) ? state : join(env.HOME || homedir(), '.local/state')
  return join(base, 'freetumor/dicom.key')
}

/**
 * Read the key of the pseudonyms, or create it for this user alone.
 * @param folders folders that may be given to others, and so must not hold the key
 * @throws UsageError for a key in such a folder, or that others can read; EnvironmentError if it cannot be read or written
 */
export async function readKey(path: string, folders: readonly string[]): Promise<Buffer> {
  const file = join(await real(dirname(resolve(path))), resolve(path).slice(dirname(resolve(path)).length))
  for (const folder of folders) {
    const inside = relative(await real(folder), file)
    if (!inside.startsWith('..') && !isAbsolute(inside))
      throw new UsageError(`--key: the key must lie outside ${folder} (found ${path})`, {
        hint: 'choose a file that only you can read, in another folder',
      })
  }
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new EnvironmentError(cannotBeRead(path, error.code), { hint: 'correct its permissions' })
  })
  if (handle === null) return await createKey(file)
  try {
    const { mode, size } = await handle.stat()
    if ((mode & 0o077) !== 0)
      throw new UsageError(`${path}: other users can read the key (expected mode 600)`, {
        hint: `run \`chmod 600 ${quoted(path)}\``,
      })
    const key =
      size === 2 * KEY_BYTES + 1 ? Buffer.from((await handle.readFile('latin1')).trim(), 'hex') : null
    if (key?.length === KEY_BYTES) return key
    throw new UsageError(
      `${path}: not a key of this command (expected ${2 * KEY_BYTES} hexadecimal digits)`,
      {
        hint: 'restore the key, or choose another file with --key; new keys give new ids',
      },
    )
  } finally {
    await handle.close()
  }
}

async function createKey(file: string): Promise<Buffer> {
  await makeFolder(dirname(file))
  const key = randomBytes(KEY_BYTES)
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(`${key.toString('hex')}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await syncFolder(dirname(file))
    return key
  } catch (error) {
    // another process created it in the meantime
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      return Buffer.from((await readFile(file, 'latin1')).trim(), 'hex')
    throw typedSystemError(error, file)
  }
}

/** Return a path without symbolic links, as far as it exists. */
async function real(path: string): Promise<string> {
  const whole = resolve(path)
  return await realpath(whole).catch(async () => {
    const above = dirname(whole)
    return above === whole ? whole : join(await real(above), whole.slice(above.length))
  })
}
