import { fstatSync, readSync } from 'node:fs'
import { cannotBeRead } from '../system-errors.js'
import { type ArrayName, brokenCase, type OpenGroup } from './case-group.js'

/** An open file of an array. */
export interface ArrayFile {
  readonly group: OpenGroup
  readonly name: ArrayName
  readonly descriptor: number
}

/** Return what changes with each write to an open file. */
export function changeStamp(descriptor: number): string {
  const { size, mtimeNs, ctimeNs } = fstatSync(descriptor, { bigint: true })
  return `${size} ${mtimeNs} ${ctimeNs}`
}

/** Fill `target` from a position. @throws DataError if the file ends before */
export function readFully(
  { group, name, descriptor }: ArrayFile,
  target: Uint8Array,
  position: number,
): void {
  for (let done = 0; done < target.length; ) {
    const count = readSome(group, name, descriptor, target, done, position)
    if (count === 0) throw brokenCase(group, `${name}: truncated (expected byte ${position + target.length})`)
    done += count
  }
}

function readSome(
  group: OpenGroup,
  name: string,
  descriptor: number,
  target: Uint8Array,
  done: number,
  position: number,
): number {
  try {
    return readSync(descriptor, target, done, target.length - done, position + done)
  } catch (cause) {
    throw brokenCase(group, cannotBeRead(name, (cause as NodeJS.ErrnoException).code), cause)
  }
}
