import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync, utimesSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import {
  makePythonTemporaryFolder,
  newSocketDirectory,
  removeSocketDirectory,
} from '../../src/transport/socket-path.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** A user without rights. */
const NOBODY = 65534
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000)

/** A directory of sockets; `close` takes the listener away, as a kill does, and leaves the file. */
async function directoryOf(root: string, name: string): Promise<{ kill(): Promise<void> }> {
  const directory = join(root, name)
  mkdirSync(directory, { mode: 0o700 })
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(join(directory, 'run.sock'), resolve))
  onTestFinished(() => void server.close())
  utimesSync(directory, AN_HOUR_AGO, AN_HOUR_AGO)
  return {
    async kill() {
      // closing removes the file, which a killed process cannot
      renameSync(join(directory, 'run.sock'), join(root, 'kept'))
      await new Promise((resolve) => server.close(resolve))
      renameSync(join(root, 'kept'), join(directory, 'run.sock'))
      utimesSync(directory, AN_HOUR_AGO, AN_HOUR_AGO)
    },
  }
}

it('a new directory of sockets is private, and replaces only the directories of killed processes', async () => {
  const root = temporaryFolder()
  vi.stubEnv('TMPDIR', root)
  onTestFinished(() => void vi.unstubAllEnvs())
  await directoryOf(root, 'ft-ALIVE1')
  await (await directoryOf(root, 'ft-run-DEAD02')).kill()
  mkdirSync(join(root, 'ft-YOUNG3'))
  mkdirSync(join(root, 'ft-somebody-elses'))
  const made = await newSocketDirectory('run-')
  expect(readdirSync(root).sort()).toEqual(
    ['ft-ALIVE1', 'ft-YOUNG3', 'ft-somebody-elses', made.slice(root.length + 1)].sort(),
  )
})

it('the temporary folder of a job lies in its directory, if sockets of Python have short enough paths there', async () => {
  const root = temporaryFolder()
  const longest = join(root, 'x'.repeat(70 - root.length - 1))
  for (const directory of [root, longest, `${longest}x`]) mkdirSync(directory, { recursive: true })
  expect(await makePythonTemporaryFolder(root)).toEqual({ TMPDIR: join(root, 'tmp') })
  expect(await makePythonTemporaryFolder(longest)).toEqual({ TMPDIR: join(longest, 'tmp') })
  expect(readdirSync(longest)).toEqual(['tmp'])
  expect(await makePythonTemporaryFolder(`${longest}x`)).toEqual({})
})

it('a folder without write permission is removed with its directory, and a folder of another user fails nothing', async () => {
  const root = temporaryFolder()
  const [directory, kept] = [join(root, 'ft-123456'), join(root, 'ft-123456/tmp/kept')]
  mkdirSync(join(kept, 'deep'), { recursive: true })
  chmodSync(kept, 0o555)
  // root may remove anything
  const isRoot = process.getuid?.() === 0
  if (isRoot)
    for (const path of [root, directory, dirname(kept), kept, join(kept, 'deep')])
      chownSync(path, NOBODY, NOBODY)
  const remove = async (): Promise<void> => {
    if (isRoot) process.seteuid!(NOBODY)
    await removeSocketDirectory(directory).finally(() => isRoot && process.seteuid!(0))
  }
  await remove()
  expect(existsSync(directory)).toBe(false)
  if (!isRoot) return
  mkdirSync(join(directory, 'foreign/file'), { recursive: true })
  chownSync(directory, NOBODY, NOBODY)
  await remove()
  expect(readdirSync(directory)).toEqual(['foreign'])
})
