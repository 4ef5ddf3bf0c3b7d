import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { LAUNCHER } from './process.js'

/** Start the warden, which ends the processes of a foreign program if this process is killed (launcher/warden.py). Return its stop. */
export function postWarden(python: string, runId: string): () => void {
  const warden = spawn(python, ['-I', '-S', join(LAUNCHER, 'warden.py'), runId], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C reaches only this process: the warden runs until this process ends
    detached: true,
  })
  warden.on('error', () => {})
  warden.stdin.on('error', () => {})
  return () => void warden.kill('SIGKILL')
}
