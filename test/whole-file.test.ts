import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'
import { typedSystemError } from '../src/system-errors.js'
import {
  makeFolder,
  makeFolderSync,
  makeTemporaryFolder,
  makeWritableFolder,
  makingParents,
  refuseUnwritable,
  refuseUnwritableFolder,
  sweepUnfinished,
  writeWhole,
  writeWholeFolder,
} from '../src/whole-file.js'
import { temporaryFolder } from './helpers/temporary.js'

describe('a file that is written whole', () => {
  test('replaces the old file and leaves no other file', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'exit.json')
    await writeWhole(path, 'first', 0o600)
    await writeWhole(path, 'second', 0o600)
    expect(readFileSync(path, 'utf8')).toBe('second')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['exit.json'])
  })

  test('is refused before the work if it is a folder, or its folder cannot be created', async () => {
    const folder = temporaryFolder()
    await expect(refuseUnwritable(folder)).rejects.toThrow(
      `${folder}: cannot be written (it is a folder, EISDIR)`,
    )
    writeFileSync(join(folder, 'x.json'), 'old')
    for (const path of [join(folder, 'x.json/y/z.json'), '/proc/y/z.json', join(folder, 'x'.repeat(300))])
      await expect(refuseUnwritable(path)).rejects.toThrow(`${path}: cannot be written (`)
    for (const name of ['x.json', 'no/y/z.json']) await refuseUnwritable(join(folder, name))
    expect(readFileSync(join(folder, 'x.json'), 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['x.json'])
  })

  test('holds its parts in their order', async () => {
    const path = join(temporaryFolder(), 'manifest.json')
    await writeWhole(path, ['one ', 'two ', 'three'])
    expect(readFileSync(path, 'utf8')).toBe('one two three')
  })

  test('whose parts fail keeps the old file and leaves no other file', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'manifest.json')
    await writeWhole(path, 'old')
    const parts = function* (): Generator<string> {
      yield 'new'
      throw new Error('a part failed')
    }
    await expect(writeWhole(path, parts())).rejects.toThrow('a part failed')
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['manifest.json'])
  })

  test('by many writers at once is the file of one of them', async () => {
    const path = join(temporaryFolder(), 'exit.json')
    const texts = Array.from({ length: 20 }, (_, at) => String(at).repeat(10_000))
    await Promise.all(texts.map((text) => writeWhole(path, text)))
    expect(texts).toContain(readFileSync(path, 'utf8'))
  })

  test('while another process sweeps the folder is the new file, or an error that names the cause', async () => {
    const folder = temporaryFolder()
    const text = 'x'.repeat(200_000)
    let writing = true
    const sweeps = (async () => {
      while (writing) await sweepUnfinished(folder)
    })()
    const writes = Array.from({ length: 200 }, (_, at) =>
      writeWhole(join(folder, `config-${at % 4}.yaml`), text),
    )
    const outcomes = await Promise.allSettled(writes).finally(() => {
      writing = false
    })
    await sweeps
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        expect(outcome.reason.message).toMatch(/another process removed its temporary file/)
    for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name), 'utf8')).toBe(text)
  })

  test('whose rename fails leaves no other file, and the error names the file', async () => {
    const folder = temporaryFolder()
    // no file can take the place of a folder that holds something
    mkdirSync(join(folder, 'plan.json', 'inner'), { recursive: true })
    const path = join(folder, 'plan.json')
    await expect(writeWhole(path, 'text')).rejects.toMatchObject({
      code: 'environment',
      message: expect.stringContaining(path),
    })
    expect(readdirSync(folder)).toEqual(['plan.json'])
  })

  test('in a folder that does not exist is an error with its path', async () => {
    const path = join(temporaryFolder(), 'gone', 'exit.json')
    await expect(writeWhole(path, 'text')).rejects.toMatchObject({
      code: 'environment',
      message: `${path}: cannot be written (a folder of its path is missing or refuses new files, ENOENT)`,
    })
  })
})

test('sweeping removes the files of interrupted writers, and nothing else', async () => {
  const folder = temporaryFolder()
  const left = ['exit.json.tmp.0123456789abcdef', 'plan.json.tmp.12', 'events.jsonl.tmp']
  const kept = ['a.tmp.x', 'events.jsonl', 'notes.tmpl']
  for (const name of [...left, ...kept]) writeFileSync(join(folder, name), '')
  mkdirSync(join(folder, 'step_00000001.tmp.9', 'inner'), { recursive: true })
  await sweepUnfinished(folder)
  expect(readdirSync(folder).sort()).toEqual(kept)
})

test('temporary files of named files go, and those of other programs stay', async () => {
  const folder = temporaryFolder()
  for (const name of ['m.json.tmp.0f', 'm.json.measures.jsonl.tmp.1a', 'n.json.tmp.2b'])
    writeFileSync(join(folder, name), '')
  await sweepUnfinished(folder, ['m.json.'])
  expect(readdirSync(folder)).toEqual(['n.json.tmp.2b'])
})

test('a folder is created and tested before the work, and stays empty', async () => {
  const folder = join(temporaryFolder(), 'a', 'b')
  await makeWritableFolder(folder)
  await makeWritableFolder(folder)
  expect(readdirSync(folder)).toEqual([])
  // a folder that exists and takes no file, whoever asks
  await expect(makeWritableFolder('/proc')).rejects.toMatchObject({
    code: 'environment',
    message: expect.stringMatching(/^\/proc: cannot be written \(/),
  })
})

test.each([
  ['', 'stays empty'],
  ['a/b', 'is not created, nor its parents'],
])('a folder "%s" without space for results is an error before the work, and %s', async (below) => {
  const root = temporaryFolder()
  const folder = join(root, below)
  // a limit in place of a full disk: at most 64 blocks of 512 or 1024 bytes a file
  const source = `
    import { makeWritableFolder } from ${JSON.stringify(join(packageRoot, 'dist/whole-file.js'))}
    await makeWritableFolder(${JSON.stringify(folder)}).catch(({ message }) => console.log(message))`
  const printed = execFileSync('sh', [
    '-c',
    'ulimit -f 64; exec "$0" --input-type=module -e "$1"',
    process.execPath,
    source,
  ])
  expect(String(printed)).toBe(`${folder}: cannot be written (the file would exceed the size limit, EFBIG)\n`)
  expect(readdirSync(root)).toEqual([])
})

test('a folder that could be created and written is not created by the check', async () => {
  const root = temporaryFolder()
  await refuseUnwritableFolder(root)
  await refuseUnwritableFolder(join(root, 'a/b'))
  expect(readdirSync(root)).toEqual([])
  writeFileSync(join(root, 'file'), '')
  for (const path of ['file', 'file/a', 'file/a/b'])
    await expect(refuseUnwritableFolder(join(root, path))).rejects.toMatchObject({
      code: 'environment',
      message: `${join(root, path)}: cannot be written (a part of its path is a file, ENOTDIR)`,
    })
  await expect(refuseUnwritableFolder('/proc/x/y')).rejects.toThrow(/^\/proc\/x\/y: cannot be written \(/)
  await expect(refuseUnwritableFolder('/proc', '/proc/x')).rejects.toThrow(/^\/proc\/x: cannot be written \(/)
})

test('a folder that cannot be created is an error that names it', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'run'), 'a file')
  await expect(makeFolder(join(folder, 'run'))).rejects.toThrow('(a part of its path is a file, ENOTDIR)')
  await expect(makeFolder(join(folder, 'run', 'logs'))).rejects.toMatchObject({
    code: 'environment',
    message: `${join(folder, 'run', 'logs')}: cannot be written (a part of its path is a file, ENOTDIR)`,
  })
})

test('a folder of a file system that refuses new folders is an error, and creating it ends', async () => {
  for (const path of ['/proc/x', '/proc/x/logs']) {
    await expect(makeFolder(path)).rejects.toMatchObject({
      code: 'environment',
      message: `${path}: cannot be written (a folder of its path is missing or refuses new files, ENOENT)`,
      hint: 'create the folder, or choose another path',
    })
    expect(() => makeFolderSync(path)).toThrow('ENOENT')
  }
})

test('a folder is created with its parents and their permissions; a link without target is an error', async () => {
  const root = temporaryFolder()
  await Promise.all([1, 2, 3].map(() => makeFolder(join(root, 'a/b/c'), 0o700)))
  makeFolderSync(join(root, 'd/e'), 0o700)
  makeFolderSync(join(root, 'd/e'), 0o700)
  for (const made of ['a', 'a/b', 'a/b/c', 'd', 'd/e'])
    expect(statSync(join(root, made)).mode & 0o777).toBe(0o700)
  symlinkSync(join(root, 'a'), join(root, 'link'))
  await makeFolder(join(root, 'link'))
  symlinkSync(join(root, 'gone'), join(root, 'broken'))
  await expect(makeFolder(join(root, 'broken'))).rejects.toThrow('EEXIST')
  expect(() => makeFolderSync(join(root, 'broken'))).toThrow('EEXIST')
})

describe('missing parents', () => {
  test('are created before the file is written', async () => {
    const path = join(temporaryFolder(), 'a/b/x.json')
    expect(await makingParents(path, async () => writeWhole(path, 'text').then(() => 'result'))).toBe(
      'result',
    )
    expect(readFileSync(path, 'utf8')).toBe('text')
  })

  test('are removed after an error, with the error as it was; a folder with content or of others stays', async () => {
    const root = temporaryFolder()
    const failure = new Error('the work failed')
    const fail = (): Promise<never> => Promise.reject(failure)
    mkdirSync(join(root, 'old'))
    await expect(makingParents(join(root, 'old/a/b/x.json'), fail)).rejects.toBe(failure)
    await expect(makingParents(join(root, 'old/x.json'), fail)).rejects.toBe(failure)
    await expect(
      makingParents(join(root, 'a/b/x.json'), async () => {
        writeFileSync(join(root, 'a/journal'), '')
        throw failure
      }),
    ).rejects.toBe(failure)
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['a', 'a/journal', 'old'])
  })

  test('that cannot be created are an error that names the file', async () => {
    const root = temporaryFolder()
    writeFileSync(join(root, 'file'), '')
    const path = join(root, 'file/a/x.json')
    await expect(makingParents(path, () => Promise.reject())).rejects.toThrow(
      `${path}: cannot be written (a part of its path is a file, ENOTDIR)`,
    )
  })
})

test('a folder is written whole with its parents, or nothing of it is left', async () => {
  const root = temporaryFolder()
  const path = join(root, 'a/b')
  await expect(
    writeWholeFolder(path, async (folder) => {
      writeFileSync(join(folder, 'part'), '')
      throw new Error('the second part failed')
    }),
  ).rejects.toThrow('the second part failed')
  expect(readdirSync(root)).toEqual([])
  await writeWholeFolder(path, async (folder) => writeFileSync(join(folder, 'part'), ''))
  expect(readdirSync(root, { recursive: true }).sort()).toEqual(['a', 'a/b', 'a/b/part'])
  const unasked = async () => expect.unreachable()
  await expect(writeWholeFolder(path, unasked)).rejects.toThrow(
    `${path}: cannot be written (the folder is not empty, ENOTEMPTY)`,
  )
  await expect(writeWholeFolder(join(path, 'part'), unasked)).rejects.toThrow('a part of its path is a file')
  expect(readdirSync(path)).toEqual(['part'])
})

test('a missing temporary folder is reported in one sentence with a hint', async () => {
  vi.stubEnv('TMPDIR', join(temporaryFolder(), 'gone'))
  await expect(makeTemporaryFolder('freetumor-')).rejects.toMatchObject({
    code: 'environment',
    message: `${process.env.TMPDIR}: temporary folder not found`,
    hint: 'set TMPDIR to a folder that can be written',
  })
  vi.unstubAllEnvs()
})

test('system errors name what failed and why; other errors stay as they are', () => {
  const system = (code: string, more = {}): Error => Object.assign(new Error(code), { code, ...more })
  const messageOf = (error: unknown): string => (typedSystemError(error) as Error).message
  expect(messageOf(system('ENOSPC', { path: '/d/f', syscall: 'write' }))).toBe(
    '/d/f: cannot be written (the disk is full, ENOSPC)',
  )
  expect(messageOf(system('EACCES', { path: '/d', syscall: 'scandir' }))).toBe(
    '/d: cannot be read (permission denied, EACCES)',
  )
  expect(messageOf(system('EMFILE', { syscall: 'open' }))).toBe(
    'open failed (this process has too many open files, EMFILE)',
  )
  for (const error of [new TypeError('a bug'), system('ERR_INVALID_ARG_TYPE'), 'text'])
    expect(typedSystemError(error)).toBe(error)
})
