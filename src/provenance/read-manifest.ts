import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { DataError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import { cannotBeRead } from '../system-errors.js'
import { idOf, isSignature, type KeyRecord } from './keys.js'
import {
  END,
  FILES_END,
  FILES_START,
  fileSchema,
  headSchemas,
  type ProvenanceFile,
  type ProvenanceHead,
  type Signature,
  START,
  signatureSchema,
  signedText,
} from './manifest.js'

const MAX_BYTES = 4 * 2 ** 30
const MAX_LINE = 2 ** 20
const MAX_FILES = 5_000_000
const FILE_BOUNDS = { depth: 5, values: 20_000 }
const HEAD_BOUNDS = { depth: 12, values: 100_000 }

const NAME_ONE = 'name a provenance.json, or a data set that `freetumor synthesize` wrote'

/** `altered`: `reason` names the part. `unsigned`: without a signature of a trusted key. */
export interface ManifestVerdict {
  readonly state: 'authentic' | 'altered' | 'unsigned'
  readonly reason: string
  /** Key of the signature; `unknown` is a key that this user does not trust. */
  readonly signer: 'none' | 'trusted' | 'revoked' | 'unknown'
}

/** An opened manifest. Its entries stay on the disk. */
export interface OpenedManifest extends ManifestVerdict, AsyncDisposable {
  readonly path: string
  readonly head: ProvenanceHead
  readonly size: number
  /** Return the entry of a path, with its number; undefined if it has none. */
  at(path: string): Promise<NumberedFile | undefined>
  /** Return the entry of a hash: of the file, of its mark, or of its voxels. */
  withHash(hash: string): Promise<NumberedFile | undefined>
  /** Yield all entries in order. */
  entries(): AsyncIterable<NumberedFile>
}

export interface NumberedFile {
  readonly number: number
  readonly file: ProvenanceFile
}

/**
 * Open a foreign manifest, and check its signature. It is read line by line; memory holds about 400 bytes for each file.
 * @throws DataError for a file that is no manifest; an edited one has the state `altered`
 */
export async function openManifest(path: string, keys: readonly KeyRecord[]): Promise<OpenedManifest> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw new DataError(cannotBeRead(path, error.code, 'manifest'), {
        hint: NAME_ONE,
        cause: error,
      })
    },
  )
  try {
    const state = await file.stat()
    if (!state.isFile()) throw new DataError(`${path}: not a regular file`, { hint: NAME_ONE })
    const { size } = state
    if (size > MAX_BYTES) throw noManifest(path, `${size} bytes`)
    const index = await readIndex(file, path)
    const { head, places, byPath, byHash, parts, signature } = index
    const entry = async (number: number | undefined): Promise<NumberedFile | undefined> => {
      if (number === undefined) return undefined
      const [offset, length] = [places[2 * number]!, places[2 * number + 1]!]
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset)
      return { number, file: parseFile(buffer.toString('utf8'), path) }
    }
    return {
      path,
      head,
      size: places.length / 2,
      ...verdictOn(signature, parts, keys),
      at: (name) => entry(byPath.get(name)),
      withHash: (hash) => entry(byHash.get(hash.slice(0, 24))),
      async *entries() {
        for (let number = 0; number < places.length / 2; number++) yield (await entry(number))!
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

function verdictOn(
  signature: Signature,
  parts: Readonly<Record<string, string>>,
  keys: readonly KeyRecord[],
): ManifestVerdict {
  if (signature === null) return { state: 'unsigned', reason: 'its manifest is not signed', signer: 'none' }
  const { publicKey, value } = signature
  if (!isSignature(signedText(signature.parts), publicKey, value)) return altered('the signature is wrong')
  const names = [...new Set([...Object.keys(signature.parts), ...Object.keys(parts)])]
  const edited = names.filter((name) => signature.parts[name] !== parts[name])
  if (edited.length > 0) return altered(`${edited.join(', ')} differs from the signed one`)
  if (signedText(parts) !== signedText(signature.parts)) return altered('its parts are in another order')
  const key = keys.find((one) => one.publicKey === publicKey)
  if (key === undefined) {
    const reason = `signed by the key ${idOf(publicKey)}, which is not trusted (\`freetumor key trust\`)`
    return { state: 'unsigned', reason, signer: 'unknown' }
  }
  const reason = `signed by the key ${key.id}`
  return key.revoked === null
    ? { state: 'authentic', reason, signer: 'trusted' }
    : { state: 'unsigned', reason: `${reason}, which was revoked`, signer: 'revoked' }
}

function altered(reason: string): ManifestVerdict {
  return { state: 'altered', reason: `manifest: ${reason}`, signer: 'none' }
}

async function readIndex(file: FileHandle, path: string) {
  const head: Record<string, unknown> = {}
  const parts: Record<string, string> = {}
  const places: number[] = []
  const byPath = new Map<string, number>()
  const byHash = new Map<string, number>()
  const ofFiles = createHash('sha256')
  let signature: Signature | undefined
  let state: 'start' | 'head' | 'files' | 'signature' | 'end' | 'done' = 'start'
  for await (const { line, offset } of linesOf(file, path)) {
    const text = line.toString('utf8')
    if (state === 'start' && text === START) state = 'head'
    else if (state === 'head' && text === FILES_START) state = 'files'
    else if (state === 'head') {
      const [name, value] = parseHead(text, path)
      if (Object.hasOwn(head, name)) throw noManifest(path, `two parts ${name}`)
      head[name] = value
      parts[name] = createHash('sha256').update(line).update('\n').digest('hex')
    } else if (state === 'files' && text === FILES_END) state = 'signature'
    else if (state === 'files') {
      ofFiles.update(line).update('\n')
      const length = line.length - (text.endsWith(',') ? 1 : 0)
      const entry = parseFile(line.toString('utf8', 0, length), path)
      const number = places.length / 2
      if (number >= MAX_FILES) throw noManifest(path, `more than ${MAX_FILES} files`)
      if (byPath.has(entry.path)) throw noManifest(path, 'one file twice')
      places.push(offset, length)
      byPath.set(entry.path, number)
      for (const hash of [entry.sha256, entry.mark, entry.voxels]) {
        const key = hash?.slice(0, 24)
        if (key !== undefined && !byHash.has(key)) byHash.set(key, number)
      }
    } else if (state === 'signature' && text.startsWith('  "signature": ')) {
      const parsed = signatureSchema.safeParse(parseForeignJson(text.slice(15), path, HEAD_BOUNDS))
      if (!parsed.success) throw noManifest(path, 'another signature')
      signature = parsed.data
      state = 'end'
    } else if (state === 'end' && text === END) state = 'done'
    else throw noManifest(path, `a wrong line after ${places.length} files`)
  }
  if (state !== 'done') throw noManifest(path, 'a truncated file')
  for (const name of Object.keys(headSchemas))
    if (!Object.hasOwn(head, name)) throw noManifest(path, `no ${name}`)
  parts.files = ofFiles.digest('hex')
  return {
    head: head as unknown as ProvenanceHead,
    places,
    byPath,
    byHash,
    parts,
    signature: signature ?? null,
  }
}

function parseHead(line: string, path: string): [name: string, value: unknown] {
  const found = /^ {2}"([a-z]{1,40})": (.+),$/s.exec(line)
  const [, name = '', text = ''] = found ?? []
  const schema = Object.hasOwn(headSchemas, name) ? headSchemas[name as keyof typeof headSchemas] : undefined
  if (schema === undefined) throw noManifest(path, 'an unknown part')
  const parsed = schema.safeParse(parseForeignJson(text, path, HEAD_BOUNDS))
  if (!parsed.success) throw noManifest(path, `another form of ${name}`)
  return [name, parsed.data]
}

function parseFile(text: string, path: string): ProvenanceFile {
  const parsed = fileSchema.safeParse(parseForeignJson(text, path, FILE_BOUNDS))
  if (!parsed.success) throw noManifest(path, 'another form of a file')
  return parsed.data
}

/** Yield the lines of a file without their ends. */
async function* linesOf(
  file: FileHandle,
  path: string,
): AsyncIterable<{ readonly line: Buffer; readonly offset: number }> {
  let rest = Buffer.alloc(0)
  let offset = 0
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1 << 18), 0, 1 << 18, position)
    if (bytesRead === 0) break
    position += bytesRead
    let data = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      yield { line: data.subarray(0, end), offset }
      offset += end + 1
      data = data.subarray(end + 1)
    }
    if (data.length > MAX_LINE) throw noManifest(path, 'a line above 1 MiB')
    rest = Buffer.from(data)
  }
  if (rest.length > 0) throw noManifest(path, 'a truncated file')
}

function noManifest(path: string, found: string): DataError {
  return new DataError(`${path}: not a manifest as freetumor writes it (found ${found})`, {
    hint: 'restore it, or repeat `freetumor synthesize` to write it again',
  })
}
