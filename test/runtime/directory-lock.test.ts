import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { TRAINING, WRITING, WRITING_SHARDS } from '../../src/pipeline/locks.js'
import { lockDirectory, lockHolders } from '../../src/runtime/directory-lock.js'
import { packageRoot } from '../../src/runtime/python.js'
import { temporaryFolder } from '../helpers/temporary.js'

const MODULE = JSON.stringify(pathToFileURL(join(packageRoot, 'dist/runtime/directory-lock.js')).href)

/** Another Node process that holds the lock of a folder. */
async function holderOf(folder: string) {
  const program = `
    const { lockDirectory } = await import(${MODULE})
    await lockDirectory(process.argv[1], { refusal: () => new Error('held') })
    console.log('held')
    setInterval(() => {}, 60000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

const helpersOf = (pid: number): number[] =>
  execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
    .map(Number)

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

describe('the lock of a folder', () => {
  it('keeps the lock file private, also one of an earlier version, so that no other user can hold it', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, '.lock'), '')
    chmodSync(join(folder, '.lock'), 0o644)
    await using _lock = await lockDirectory(folder, WRITING)
    expect(statSync(join(folder, '.lock')).mode & 0o777).toBe(0o600)
  })

  it('is refused to a second owner of the same process, and free again after it is disposed', async () => {
    const folder = temporaryFolder()
    const first = await lockDirectory(folder, TRAINING)
    expect(first.enforced).toBe(true)
    await expect(lockDirectory(folder, TRAINING)).rejects.toMatchObject({
      code: 'usage',
      message: `${folder} is being trained by process ${process.pid} on host ${hostname()}`,
      hint: expect.stringContaining('freetumor runs attach'),
    })
    await first[Symbol.asyncDispose]()
    expect(readdirSync(folder)).toEqual([])
    await using second = await lockDirectory(folder, WRITING)
    expect(second.enforced).toBe(true)
  })

  it('stays with a suspended process, and the kernel frees it when that is killed', async () => {
    const folder = temporaryFolder()
    const other = await holderOf(folder)
    other.kill('SIGSTOP')
    expect(await lockHolders([folder])).toEqual(new Map([[folder, { pid: other.pid, host: hostname() }]]))
    await expect(lockDirectory(folder, WRITING)).rejects.toMatchObject({
      message: `${folder} is being written by process ${other.pid} on host ${hostname()}`,
      hint: expect.stringContaining(`kill -CONT ${other.pid}`),
    })
    other.kill('SIGKILL')
    await once(other, 'close')
    await using lock = await lockDirectory(folder, WRITING)
    expect(lock.enforced).toBe(true)
  })

  it('is held by a process outside the process group, which ignores the signals of a job', async () => {
    const folder = temporaryFolder()
    const other = await holderOf(folder)
    const [helper] = helpersOf(other.pid!)
    const group = (pid: number): string =>
      execFileSync('ps', ['-o', 'pgid=', '-p', String(pid)], { encoding: 'utf8' })
    expect(group(helper!)).not.toBe(group(other.pid!))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.kill(helper!, signal)
    expect((await lockHolders([folder])).size).toBe(1)
  })

  it('of the next owner stays when an owner releases that lost its helper process', async () => {
    const folder = temporaryFolder()
    const first = await lockDirectory(folder, WRITING)
    const [helper] = helpersOf(process.pid).filter((pid) => commandOf(pid).includes(join(folder, '.lock')))
    process.kill(helper!, 'SIGKILL')
    await using next = await lockDirectory(folder, WRITING)
    expect(next.enforced).toBe(true)
    await first[Symbol.asyncDispose]()
    expect((await lockHolders([folder])).size).toBe(1)
    await expect(lockDirectory(folder, WRITING)).rejects.toMatchObject({ code: 'usage' })
  })

  it('goes to one of many that ask at one moment', async () => {
    const folder = temporaryFolder()
    const asked = await Promise.allSettled(Array.from({ length: 6 }, () => lockDirectory(folder, WRITING)))
    const held = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    expect(held).toHaveLength(1)
    await held[0]![Symbol.asyncDispose]()
  })

  it('of shared work is shared, excludes an owner of its own, and goes with the last one', async () => {
    const folder = temporaryFolder()
    const asked = Array.from({ length: 3 }, () => lockDirectory(folder, WRITING_SHARDS))
    const [first, second, third] = await Promise.all(asked)
    await expect(lockDirectory(folder, WRITING)).rejects.toThrow(`${folder} is being written by`)
    for (const one of [first!, second!]) await one[Symbol.asyncDispose]()
    await expect(lockDirectory(folder, WRITING)).rejects.toThrow(`${folder} is being written by`)
    await third![Symbol.asyncDispose]()
    expect(readdirSync(folder)).toEqual([])
    await using _own = await lockDirectory(folder, WRITING)
    await expect(lockDirectory(folder, WRITING_SHARDS)).rejects.toThrow(`${folder} is being written by`)
  })

  it('does not keep a program running that forgot it', async () => {
    const program = `
      const { lockDirectory } = await import(${MODULE})
      await lockDirectory(process.argv[1], {})`
    execFileSync(process.execPath, ['--input-type=module', '-e', program, temporaryFolder()])
  })

  it('of a folder that is gone is an error that names it', async () => {
    const gone = join(temporaryFolder(), 'gone')
    await expect(lockDirectory(gone, WRITING)).rejects.toMatchObject({
      code: 'environment',
      message: `${join(gone, '.lock')}: cannot be written (a folder of its path is missing or refuses new files, ENOENT)`,
    })
  })

  it('reports why a Python cannot hold it', async () => {
    const folder = temporaryFolder()
    const python = join(folder, 'python')
    writeFileSync(python, '#!/bin/sh\necho "no such module" >&2\nexit 3\n')
    chmodSync(python, 0o755)
    await expect(lockDirectory(folder, WRITING, python)).rejects.toMatchObject({
      code: 'environment',
      message: 'the lock of the folder cannot be used: no such module',
    })
    expect(existsSync(join(folder, '.lock'))).toBe(false)
  })

  it('of a killed owner is free', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'other'))
    writeFileSync(join(folder, '.lock'), '{"pid":1,"host":"gone"}')
    expect(await lockHolders([folder, join(folder, 'other')])).toEqual(new Map())
    await using _ = await lockDirectory(folder, WRITING)
    expect(JSON.parse(readFileSync(join(folder, '.lock'), 'utf8'))).toMatchObject({ pid: process.pid })
  })
})
