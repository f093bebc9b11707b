# Installs rustup from a mirror: finds this machine's triple, downloads rustup-init.exe for it, checks its digest, and
# runs it. Works in Windows PowerShell 5.1 and in PowerShell 7.
#
#     Invoke-RestMethod BASE/rustup-init.ps1 -OutFile rustup-init.ps1
#     powershell -ExecutionPolicy Bypass -File rustup-init.ps1 -y --default-toolchain stable
#
# All arguments go to rustup-init. Without --profile, the script adds the mirror's profile if it is smaller than rustup's
# default. $env:FROSTMIRROR_TRIPLE overrides the detected triple.

# One block, so that a truncated script does nothing.
& {
    $ErrorActionPreference = 'Stop'
    # The progress bar would take longer than the download.
    $ProgressPreference = 'SilentlyContinue'
    $base = @BASE@
    # TOOLCHAIN TRIPLE PROFILE, if the mirror lacks the profile "default".
    $profiles = @PROFILES@

    $triple = $env:FROSTMIRROR_TRIPLE
    if (-not $triple) {
        # The variable exists in PowerShell 6 and later; Windows PowerShell is on Windows anyway.
        if (($null -ne $IsWindows) -and (-not $IsWindows)) {
            throw "this is not Windows; run $base/rustup-init.sh"
        }
        # The system's architecture, not that of an emulated process.
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
        $machine = (Get-ItemProperty -Path $key).PROCESSOR_ARCHITECTURE
        switch ($machine) {
            'AMD64' { $triple = 'x86_64-pc-windows-msvc' }
            'ARM64' { $triple = 'aarch64-pc-windows-msvc' }
            'x86' { $triple = 'i686-pc-windows-msvc' }
            default { throw "the triple of this machine ($machine) is unknown; set `$env:FROSTMIRROR_TRIPLE to it" }
        }
    }
    if ($triple -notmatch '\A[A-Za-z0-9_.-]+\z') {
        throw "'$triple' is not a triple"
    }
    $program = if ($triple -match 'windows') { 'rustup-init.exe' } else { 'rustup-init' }

    $folder = Join-Path ([System.IO.Path]::GetTempPath()) ([System.IO.Path]::GetRandomFileName())
    $null = New-Item -ItemType Directory -Path $folder
    try {
        $url = "$base/rustup/dist/$triple/$program"
        $file = Join-Path $folder $program
        try {
            Invoke-WebRequest -UseBasicParsing -Uri "$url.sha256" -OutFile "$file.sha256"
            Invoke-WebRequest -UseBasicParsing -Uri $url -OutFile $file
        } catch {
            throw "could not download $url ($($_.Exception.Message)); either $base cannot be reached, or it has no rustup for $triple; then add that triple to the next bundle"
        }

        # The file name after the digest is ignored.
        $wanted = ([System.IO.File]::ReadAllText("$file.sha256") -split '\s')[0]
        if ($wanted -notmatch '\A[0-9a-f]{64}\z') {
            throw "$url.sha256 is not a SHA-256 digest"
        }
        $found = (Get-FileHash -Algorithm SHA256 -Path $file).Hash.ToLowerInvariant()
        if ($found -ne $wanted) {
            throw "$url is damaged and was not run: its SHA-256 is $found, expected $wanted"
        }
        if ($program -eq 'rustup-init') {
            & chmod u+x $file
        }

        # rustup reads its server from the environment only.
        $env:RUSTUP_DIST_SERVER = $base
        $env:RUSTUP_UPDATE_ROOT = "$base/rustup"
        $env:RUSTUP_BACKTRACK_LIMIT = '1'
        $words = @($args)
        $toolchain = 'stable'
        $target = $triple
        $named = $false
        for ($i = 0; $i -lt $words.Count; $i++) {
            $next = if ($i + 1 -lt $words.Count) { $words[$i + 1] } else { '' }
            switch -Regex -CaseSensitive ($words[$i]) {
                '\A--profile(=|\z)' { $named = $true }
                '\A--default-toolchain\z' { $toolchain = $next }
                '\A--default-toolchain=(.*)\z' { $toolchain = $Matches[1] }
                '\A--default-host\z' { $target = $next }
                '\A--default-host=(.*)\z' { $target = $Matches[1] }
            }
        }
        if (-not $named) {
            foreach ($line in ($profiles -split "`n")) {
                $name, $known, $small = $line -split ' '
                # If none is installed now, this applies to later installations.
                if ($known -and ($known -eq $target) -and (@('none', $name, "$name-$known") -contains $toolchain)) {
                    Write-Host "the mirror has no larger profile than '$small', so rustup-init runs with --profile $small"
                    $words += @('--profile', $small)
                    break
                }
            }
        }
        & $file @words
        if ($LASTEXITCODE -ne 0) {
            throw "rustup-init ended with exit code $LASTEXITCODE"
        }
        Write-Host "rustup reads its mirror from the environment. $base/api/setup/rustup-env.ps1 sets it for one"
        Write-Host "session, and shows how to set it for all sessions."
    } finally {
        Remove-Item -Recurse -Force -Path $folder
    }
} @args
