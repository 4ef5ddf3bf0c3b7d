import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { open, realpath, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { z } from 'zod'
import { DataError, EnvironmentError, UsageError } from '../errors.js'
import { parseForeignJson, readForeignJson } from '../foreign-text.js'
import { quoted } from '../plain-text.js'
import { cannotBeRead } from '../system-errors.js'
import { makeFolder, writeWhole } from '../whole-file.js'

const FORMAT = 'freetumor key 1'
/** Digits of an id that a user must write. */
const LEAST_DIGITS = 4
const BASE64 = z
  .string()
  .regex(/^[A-Za-z0-9+/=]+$/)
  .max(200)
const line = z
  .string()
  .max(100)
  .regex(/^\P{Cc}*$/u)

const statementSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** First 16 hexadecimal digits of the SHA-256 of the public key. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  name: line,
  /** Ed25519, DER (SPKI) in base64. */
  publicKey: BASE64,
  created: line,
  /** The key that this one replaces, and its signature. */
  previous: z.strictObject({ publicKey: BASE64, signature: BASE64 }).nullable(),
  /** `signature` is that of the revoked key; null if its private key was not at hand. */
  revoked: z.strictObject({ time: line, reason: line, signature: BASE64.nullable() }).nullable(),
})
const recordSchema = z.strictObject({
  ...statementSchema.shape,
  /** `active` signs; `retired` and `trusted` only verify. */
  use: z.enum(['active', 'retired', 'trusted']),
})
const keyringSchema = z.strictObject({ version: z.literal(1), keys: z.array(recordSchema).max(10_000) })

/** A public key with the signed facts about it, for others. */
export type KeyStatement = Readonly<z.infer<typeof statementSchema>>

/** A key of the keyring of this user. */
export type KeyRecord = Readonly<z.infer<typeof recordSchema>>

/** Key that signs the manifests of this user. */
export interface SigningKey {
  readonly id: string
  readonly publicKey: string
  sign(text: string): string
}

/** Return the folder of the keys of this user: `FREETUMOR_KEYS`, or one in the user's state folder. */
export function keyFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env.FREETUMOR_KEYS) return resolve(env.FREETUMOR_KEYS)
  const { XDG_STATE_HOME: state } = env
  const base = state && isAbsolute(state) ? state : join(env.HOME || homedir(), '.local/state')
  return join(base, 'freetumor/keys')
}

/**
 * Return all keys of a folder; none if it is missing.
 * @throws DataError for a damaged keyring
 */
export async function readKeyring(folder: string): Promise<readonly KeyRecord[]> {
  const path = join(folder, 'keys.json')
  if (!existsSync(path)) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false)
      throw new DataError(`${folder}: not a folder of keys`, { hint: 'set FREETUMOR_KEYS to a folder' })
    return []
  }
  const damaged = (message: string) =>
    new DataError(`${path}: ${message}`, { hint: 'restore it from a backup, or remove the folder' })
  const unreadable = (code: string) => damaged(cannotBeRead(path, code).slice(path.length + 2))
  const parsed = keyringSchema.safeParse(await readForeignJson(path, { unreadable }))
  if (!parsed.success) throw damaged('not a keyring of freetumor')
  return parsed.data.keys
}

/**
 * Create the key that signs.
 * @throws UsageError if there is one
 */
export async function createKey(folder: string, name = ''): Promise<KeyRecord> {
  const keys = await readKeyring(folder)
  const active = keys.find(({ use }) => use === 'active')
  if (active)
    throw new UsageError(`${folder}: there is a key (found ${active.id})`, {
      hint: '`freetumor key rotate` replaces it',
    })
  return await addKey(folder, keys, name, null)
}

/**
 * Replace the key that signs. The old key signs the new one, and still verifies what it signed.
 * @throws UsageError without a key
 */
export async function rotateKey(folder: string): Promise<KeyRecord> {
  const keys = await readKeyring(folder)
  const old = keys.find(({ use }) => use === 'active')
  if (old === undefined) throw noKey(folder)
  const privateKey = await readPrivate(folder, old.id)
  const retired = keys.map((key) => (key === old ? { ...key, use: 'retired' as const } : key))
  return await addKey(folder, retired, old.name, { publicKey: old.publicKey, privateKey })
}

async function addKey(
  folder: string,
  keys: readonly KeyRecord[],
  name: string,
  old: { readonly publicKey: string; readonly privateKey: KeyObject } | null,
): Promise<KeyRecord> {
  if (!line.safeParse(name).success)
    throw new UsageError('--name: wrong text (expected at most 100 letters in one line)', {
      hint: 'shorten it',
    })
  const pair = generateKeyPairSync('ed25519')
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const record: KeyRecord = {
    format: FORMAT,
    id: idOf(publicKey),
    name,
    publicKey,
    created: new Date().toISOString(),
    previous: old && {
      publicKey: old.publicKey,
      signature: signed(old.privateKey, succession(old.publicKey, publicKey)),
    },
    revoked: null,
    use: 'active',
  }
  await makeFolder(folder, 0o700)
  const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
  await writeWhole(privateFile(folder, record.id), pem, 0o600)
  await writeKeyring(folder, [...keys, record])
  return record
}

/**
 * Revoke a key: nothing that it signed is authentic any more. Its private key is removed, after it has signed the revocation.
 * @throws UsageError for an unknown key
 */
export async function revokeKey(folder: string, id: string, reason: string): Promise<KeyRecord> {
  if (!line.safeParse(reason).success)
    throw new UsageError('--reason: wrong text (expected at most 100 letters in one line)', {
      hint: 'shorten it',
    })
  const keys = await readKeyring(folder)
  const key = findKey(keys, id, folder)
  const time = new Date().toISOString()
  const file = privateFile(folder, key.id)
  const signature = existsSync(file)
    ? signed(await readPrivate(folder, key.id), revocation(key.publicKey, time, reason))
    : null
  const use = key.use === 'active' ? ('retired' as const) : key.use
  const record = { ...key, use, revoked: key.revoked ?? { time, reason, signature } }
  await writeKeyring(
    folder,
    keys.map((one) => (one === key ? record : one)),
  )
  await rm(file, { force: true })
  return record
}

/**
 * Trust the public key of another person, or take over its revocation.
 * @param text content of the file that `freetumor key show` printed
 * @returns `signedBy` is the trusted key that it replaces, if one does
 * @throws DataError for a damaged or forged statement
 */
export async function trustKey(
  folder: string,
  text: string,
  source: string,
): Promise<{ readonly key: KeyRecord; readonly signedBy: string | null }> {
  const statement = parseStatement(text, source)
  const { publicKey, previous, revoked } = statement
  const keys = await readKeyring(folder)
  const known = keys.find((key) => key.publicKey === publicKey)
  const old = keys.find((key) => key.publicKey === previous?.publicKey)
  const signedBy = old !== undefined && old.revoked === null ? old.id : null
  if (known !== undefined && (revoked === null || known.revoked !== null)) return { key: known, signedBy }
  const key: KeyRecord =
    known === undefined
      ? { ...statement, use: 'trusted' }
      : { ...known, revoked, use: known.use === 'active' ? 'retired' : known.use }
  await makeFolder(folder, 0o700)
  await writeKeyring(
    folder,
    known === undefined ? [...keys, key] : keys.map((one) => (one === known ? key : one)),
  )
  return { key, signedBy }
}

/** Return the statement of a key for others. Without an id, that of the key that signs. */
export async function keyStatement(folder: string, id?: string): Promise<KeyStatement> {
  const keys = await readKeyring(folder)
  const key = id === undefined ? keys.find(({ use }) => use === 'active') : findKey(keys, id, folder)
  if (key === undefined) throw noKey(folder)
  const { use: _, ...statement } = key
  return statement
}

/**
 * Return the key that signs; null if there is none.
 * @param out folder that will be given to others, and so must not hold the keys
 */
export async function signingKey(folder: string, out: string): Promise<SigningKey | null> {
  const active = (await readKeyring(folder)).find(({ use }) => use === 'active')
  if (active === undefined) return null
  const inside = relative(await realpath(out), await realpath(folder))
  if (!inside.startsWith('..') && !isAbsolute(inside))
    throw new UsageError(`${folder}: the keys must lie outside the data set (found them in ${out})`, {
      hint: 'set FREETUMOR_KEYS to a folder that only you can read',
    })
  const privateKey = await readPrivate(folder, active.id)
  const { id, publicKey } = active
  return { id, publicKey, sign: (text) => signed(privateKey, text) }
}

/** Return whether a signature of a text is that of a public key. Damaged values give false. */
export function isSignature(text: string, publicKey: string, signature: string): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), type: 'spki', format: 'der' })
    if (key.asymmetricKeyType !== 'ed25519') return false
    return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'))
  } catch {
    return false
  }
}

/** Return the id of a public key. */
export function idOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex').slice(0, 16)
}

function parseStatement(text: string, source: string): KeyStatement {
  const forged = (message: string) =>
    new DataError(`${source}: ${message}`, { hint: 'ask its owner for the output of `freetumor key show`' })
  const parsed = statementSchema.safeParse(parseForeignJson(text, source, { depth: 4, values: 50 }))
  if (!parsed.success) throw forged('not a public key of freetumor')
  const { id, publicKey, previous, revoked } = parsed.data
  if (id !== idOf(publicKey)) throw forged(`wrong id (expected ${idOf(publicKey)}, found ${id})`)
  if (
    previous !== null &&
    !isSignature(succession(previous.publicKey, publicKey), previous.publicKey, previous.signature)
  )
    throw forged('the signature of the previous key is wrong')
  if (
    revoked !== null &&
    !(
      revoked.signature !== null &&
      isSignature(revocation(publicKey, revoked.time, revoked.reason), publicKey, revoked.signature)
    )
  )
    throw forged('the signature of the revocation is wrong')
  return parsed.data
}

function findKey(keys: readonly KeyRecord[], id: string, folder: string): KeyRecord {
  if (id.length < LEAST_DIGITS)
    throw new UsageError(`${id}: not an id of a key (expected its first ${LEAST_DIGITS} digits or more)`, {
      hint: '`freetumor key list` lists the keys',
    })
  const found = keys.filter((key) => key.id.startsWith(id))
  if (found.length === 1) return found[0]!
  throw new UsageError(`${id}: ${found.length > 1 ? 'several keys' : 'no key'} of this id in ${folder}`, {
    hint: '`freetumor key list` lists the keys',
  })
}

function noKey(folder: string): UsageError {
  return new UsageError(`${folder}: there is no key`, { hint: 'run `freetumor key create`' })
}

function succession(old: string, next: string): string {
  return `freetumor key succession 1\n${old}\n${next}\n`
}

function revocation(publicKey: string, time: string, reason: string): string {
  return `freetumor key revocation 1\n${publicKey}\n${time}\n${reason}\n`
}

function signed(key: KeyObject, text: string): string {
  return sign(null, Buffer.from(text), key).toString('base64')
}

function privateFile(folder: string, id: string): string {
  return join(folder, `${id}.pem`)
}

/** @throws UsageError if other users can read the key; EnvironmentError if this user cannot */
async function readPrivate(folder: string, id: string): Promise<KeyObject> {
  const path = privateFile(folder, id)
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new EnvironmentError(cannotBeRead(path, error.code, 'private key'), {
      hint: 'restore it from a backup, or revoke the key: `freetumor key revoke`',
      cause: error,
    })
  })
  try {
    if (((await handle.stat()).mode & 0o077) !== 0)
      throw new UsageError(`${path}: other users can read the key (expected mode 600)`, {
        hint: `run \`chmod 600 ${quoted(path)}\``,
      })
    return createPrivateKey(await handle.readFile())
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new DataError(`${path}: not a private key`, { hint: 'restore it from a backup', cause: error })
  } finally {
    await handle.close()
  }
}

async function writeKeyring(folder: string, keys: readonly KeyRecord[]): Promise<void> {
  await writeWhole(join(folder, 'keys.json'), `${JSON.stringify({ version: 1, keys }, null, 2)}\n`, 0o600)
}
