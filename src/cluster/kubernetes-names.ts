import { createHash } from 'node:crypto'

/** Kubernetes adds up to 25 characters for the node, the index and a random end; a host name has at most 63. */
const LONGEST_WORDS = 29

/**
 * Return the name of a job's objects: a DNS label (RFC 1035) from its name and a hash of its directory. A directory has one
 * name, so a second submission of a run is found by its name.
 */
export function kubernetesName(name: string, directory: string): string {
  const words = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, LONGEST_WORDS)
    .replace(/-+$/, '')
  const hash = createHash('sha256').update(directory).digest('hex').slice(0, 8)
  return `${words || 'run'}-${hash}`
}
